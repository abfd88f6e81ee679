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

    /// Looks at what there is; nil when only the end will tell.
    ///
    /// - Parameter writer: Of the form; its length does not depend on the seed.
    func makeManifest(_ writer: MultipartWriter) throws -> SourceManifest? {
        guard case .trees = source else { return nil }
        var length = MultipartLength(writer: writer)
        var manifest = SourceManifest()
        let fingerprint = try EntryFingerprint()
        for walk in walks(openingFiles: false) {
            while let entry = try walk.next() {
                try Task.checkCancellation()
                let byteCount =
                    switch entry.content {
                    case .directory: 0
                    case .file: entry.status.byteCount
                    case .symlink(let target): target.count
                    }
                let described = uploadEntry(entry)
                manifest.fingerprints.append(
                    try fingerprint.compute(described, entry.content, entry.status))
                _ = length.add(described, contentByteCount: UInt64(byteCount))
            }
        }
        manifest.bodyByteCount = length.totalByteCount
        return manifest
    }

    /// The first entry that is not what it was.
    func firstChange(since old: SourceManifest, now: SourceManifest) throws -> SourceChanged? {
        if old.fingerprints == now.fingerprints { return nil }
        var left = zip(old.fingerprints, now.fingerprints).prefix { $0 == $1 }.count
        for walk in walks(openingFiles: false) {
            while let entry = try walk.next() {
                if left == 0 { return SourceChanged(at: entry.path) }
                left -= 1
            }
        }
        return SourceChanged(at: nil)
    }

    /// The last name of an argument, found on disk where the argument does not say it (`.`, `..`).
    static func tree(_ argument: String) throws -> Tree {
        // By bytes: a mark that follows a slash makes one character of both.
        let last = argument.utf8.split(separator: UInt8(ascii: "/")).last.map(Array.init) ?? []
        if !["", ".", ".."].contains(where: { $0.utf8.elementsEqual(last) }) {
            return Tree(argument: argument, name: last)
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

extension FileDescriptor {
    /// Reads until `room` is full or the file ends.
    func fill(_ room: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
        var done = 0
        while done < room.count {
            let count = try readSome(
                into: UnsafeMutableRawBufferPointer(rebasing: room[done...]), at: offset + done)
            if count == 0 { break }
            done += count
        }
        return done
    }
}
