import Importer
import PosixIO

/// An entry of a tree that is being added.
struct WalkedEntry {
    enum Content {
        case directory
        /// The file is open where the walk opens files.
        case file(FileDescriptor?)
        case symlink(target: [UInt8])
    }

    let path: ImportPath
    let content: Content
    let status: FileStatus

    var kind: EntryKind {
        switch content {
        case .directory: .directory
        case .file: .file
        case .symlink: .symlink
        }
    }
}

/// What a walk has left out.
struct WalkOmissions {
    /// Hidden entries, a directory counted as one.
    var hiddenCount = 0
    /// Sockets, FIFOs and devices.
    var specialPaths: [String] = []
}

/// Walks one argument of an add depth first, entries in the order of their names' bytes.
///
/// Symlinks are entries and never followed; the argument itself is followed when it ends with a
/// slash or `followsArgument` is set. Memory: the names of the open directories.
final class TreeWalk {
    private struct Frame {
        let directory: Directory
        let names: [[UInt8]]
        var next = 0
    }

    private let argument: String
    private let name: [UInt8]
    private let followsArgument: Bool
    private let rules: IgnoreRules
    private let includesHidden: Bool
    private let opensFiles: Bool
    private var isStarted = false
    private var frames: [Frame] = []
    /// Names from the argument's own down to the innermost open directory.
    private var path: [[UInt8]] = []
    private(set) var omissions = WalkOmissions()

    /// - Parameters:
    ///   - name: What the argument is called in the upload.
    ///   - opensFiles: Otherwise entries only tell what there is.
    init(
        _ argument: String, name: [UInt8], followsArgument: Bool, rules: IgnoreRules,
        includesHidden: Bool, opensFiles: Bool
    ) {
        self.argument = argument
        self.name = name
        self.followsArgument = followsArgument || argument.last == "/"
        self.rules = rules
        self.includesHidden = includesHidden
        self.opensFiles = opensFiles
    }

    func next() throws -> WalkedEntry? {
        if !isStarted {
            isStarted = true
            return try start()
        }
        while let frame = frames.last {
            guard frame.next < frame.names.count else {
                frames.removeLast()
                path.removeLast()
                continue
            }
            frames[frames.count - 1].next += 1
            if let entry = try visit(frame.names[frame.next], in: frame.directory) { return entry }
        }
        return nil
    }

    /// The argument itself, which no rule leaves out.
    private func start() throws -> WalkedEntry {
        guard let status = try FileSystem.loadStatus(argument, followingLinks: followsArgument)
        else {
            throw CommandOutcome(.local, "\(argument): there is no such file; check the name")
        }
        let importPath = try ImportPath(components: [name])
        switch status.kind {
        case .file:
            guard opensFiles else {
                return WalkedEntry(path: importPath, content: .file(nil), status: status)
            }
            return try visit(try FileDescriptor(argument, for: .read), importPath)
        case .directory:
            let directory = try Directory(argument)
            path = [name]
            frames = [Frame(directory: directory, names: try directory.loadNames())]
            return WalkedEntry(path: importPath, content: .directory, status: status)
        case .symbolicLink:
            let target = try Self.loadTarget(of: argument)
            return WalkedEntry(path: importPath, content: .symlink(target: target), status: status)
        case .other:
            throw CommandOutcome(
                .local,
                "\(argument) is a socket, FIFO or device; to add what can be read from it "
                    + "use: ingest-cli add - < \(argument)")
        }
    }

    private static func loadTarget(of argument: String) throws -> [UInt8] {
        let bytes = argument.utf8
        let slash = bytes.lastIndex(of: UInt8(ascii: "/"))
        let parent = slash.map { $0 == bytes.startIndex ? "/" : String(argument[..<$0]) } ?? "."
        let name = slash.map { bytes[bytes.index(after: $0)...] } ?? bytes[...]
        return try Directory(parent).loadLinkTarget(Array(name))
    }

    /// `nil` for an entry that is left out.
    private func visit(_ name: [UInt8], in directory: Directory) throws -> WalkedEntry? {
        guard let status = try directory.loadStatus(name) else { return nil }  // gone meanwhile
        let isDirectory = status.kind == .directory
        let below = path.dropFirst() + [name]
        if !rules.isEmpty, rules.ignores(Array(below), isDirectory: isDirectory) { return nil }
        if !includesHidden, name.first == UInt8(ascii: ".") {
            omissions.hiddenCount += 1
            return nil
        }
        let importPath = try ImportPath(components: path + [name])
        switch status.kind {
        case .directory:
            let opened = try directory.openDirectory(name)
            frames.append(Frame(directory: opened, names: try opened.loadNames()))
            path.append(name)
            return WalkedEntry(path: importPath, content: .directory, status: status)
        case .file:
            guard opensFiles else {
                return WalkedEntry(path: importPath, content: .file(nil), status: status)
            }
            return try visit(try directory.openFile(name), importPath)
        case .symbolicLink:
            return WalkedEntry(
                path: importPath, content: .symlink(target: try directory.loadLinkTarget(name)),
                status: status)
        case .other:
            omissions.specialPaths.append(
                "\(directory.file.path)/\(String(decoding: name, as: UTF8.self))")
            return nil
        }
    }

    private func visit(_ file: FileDescriptor, _ path: ImportPath) throws -> WalkedEntry {
        let status = try file.loadStatus()
        // It may have been replaced since its kind was looked at.
        guard status.kind == .file else { throw FileChanged(path: file.path) }
        if status.byteCount == 0 {
            let count = try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { byte in
                try file.readSome(into: byte, at: 0)
            }
            if count > 0 {
                try status.checkUnchanged(file)
                throw FileOfUnknownSize(path: file.path)
            }
        }
        return WalkedEntry(path: path, content: .file(file), status: status)
    }
}

/// A file has bytes, but says that it has none.
struct FileOfUnknownSize: Error, CustomStringConvertible {
    let path: String

    var description: String {
        "\(path) is not empty, but says that it has 0 bytes, as files of the kernel do; to add what can "
            + "be read from it use: ingest-cli add - < \(path)"
    }
}

/// A file is not what it was when it was opened.
struct FileChanged: Error, CustomStringConvertible {
    let path: String

    var description: String {
        "\(path) changed while it was being read; add it again when nobody writes to it"
    }
}

extension FileStatus {
    /// - Throws: `FileChanged` when size or time of the open file differ from these.
    func checkUnchanged(_ file: FileDescriptor) throws {
        let now = try file.loadStatus()
        guard now.byteCount == byteCount, now.modifiedSeconds == modifiedSeconds,
            now.modifiedNanoseconds == modifiedNanoseconds
        else { throw FileChanged(path: file.path) }
    }
}
