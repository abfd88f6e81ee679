import Glibc
import Importer
import IngestAPI
import PosixIO

/// What one upload is made of: trees, or what standard input gives.
struct AddInput {
    struct Tree {
        let argument: String
        let name: [UInt8]
    }

    enum Source {
        case trees([Tree])
        /// A single file; without a name unless one was given.
        case standardInput(name: [UInt8]?)
    }

    var source: Source
    var followsArguments = false
    var rules = IgnoreRules()
    var includesHidden = false
    var preservesMode = false
    var preservesMtime = false

    func walks(openingFiles: Bool) -> [TreeWalk] {
        guard case .trees(let trees) = source else { return [] }
        return trees.map {
            TreeWalk(
                $0.argument, name: $0.name, followsArgument: followsArguments, rules: rules,
                includesHidden: includesHidden, opensFiles: openingFiles)
        }
    }

    /// The path of standard input in the upload.
    func standardInputPath() throws -> ImportPath? {
        guard case .standardInput(let name) = source else { return nil }
        return try ImportPath(components: name.map { [$0] } ?? [])
    }

    func metadata(_ status: FileStatus) -> EntryMetadata {
        EntryMetadata(
            mode: preservesMode ? status.permissions : nil,
            mtime: preservesMtime
                ? UnixFSTime(
                    seconds: status.modifiedSeconds, nanoseconds: status.modifiedNanoseconds)
                : nil)
    }

    func uploadEntry(_ entry: WalkedEntry) -> UploadEntry {
        UploadEntry(kind: entry.kind, path: entry.path, metadata: metadata(entry.status))
    }

    /// Bytes of content there are and bytes the form will have; nil when only the end will tell.
    func measure(
        _ writer: MultipartWriter
    ) throws -> (contentByteCount: Int, bodyByteCount: UInt64)? {
        guard case .trees = source else { return nil }
        var length = MultipartLength(writer: writer)
        var contentByteCount = 0
        for walk in walks(openingFiles: false) {
            while let entry = try walk.next() {
                try Task.checkCancellation()
                let byteCount =
                    switch entry.content {
                    case .directory: 0
                    case .file: entry.status.byteCount
                    case .symlink(let target): target.count
                    }
                contentByteCount += byteCount
                _ = length.add(uploadEntry(entry), contentByteCount: UInt64(byteCount))
            }
        }
        return (contentByteCount, length.totalByteCount)
    }

    /// The last name of an argument, found on disk where the argument does not say it (`.`, `..`).
    static func tree(_ argument: String) throws -> Tree {
        let last = argument.split(separator: "/").last.map(String.init) ?? ""
        if last != "" && last != "." && last != ".." {
            return Tree(argument: argument, name: Array(last.utf8))
        }
        guard let resolved = realpath(argument, nil) else {
            throw IOError.current("find", argument)
        }
        defer { free(resolved) }
        let bytes = UnsafeBufferPointer(start: resolved, count: strlen(resolved))
            .map { UInt8(bitPattern: $0) }
        guard let name = bytes.split(separator: UInt8(ascii: "/")).last else {
            throw CommandOutcome(
                .local, "the root of the file system has no name; add a directory in it")
        }
        return Tree(argument: argument, name: Array(name))
    }
}

/// Standard input as a file.
enum StandardInput {
    static func open() -> FileDescriptor {
        // A pipe gives as much as it holds; a refusal leaves it as it is.
        let setPipeByteCount: Int32 = 1031  // F_SETPIPE_SZ
        _ = fcntl(STDIN_FILENO, setPipeByteCount, 1 << 20)
        return FileDescriptor(owning: dup(STDIN_FILENO), path: "standard input")
    }

    /// Reads until `room` is full or the input ends.
    static func fill(
        _ room: UnsafeMutableRawBufferPointer, from file: FileDescriptor
    ) throws -> Int {
        var done = 0
        while done < room.count {
            let count = try file.readSome(
                into: UnsafeMutableRawBufferPointer(rebasing: room[done...]))
            if count == 0 { break }
            done += count
        }
        return done
    }
}
