import ArgumentParser
import Glibc
import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO

struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Gets a file or directory, every block verified.",
        discussion: """
            What is complete gets its name last; what is not is removed again. Into a directory \
            that exists, entries are added; nothing in it is replaced.
            """)

    @Argument(help: ArgumentHelp("What to get.", valueName: "CID[/path]"))
    var content: String

    @Option(
        name: .shortAndLong,
        help: "Where to put it; - writes a file to standard output. Default: its name, or its CID.",
        completion: .file())
    var output: String?

    @Flag(inversion: .prefixedNo, help: "Show a progress bar. Default: on a terminal.")
    var progress: Bool?

    @OptionGroup(title: "Service options") var service: ServiceOptions

    func run() async throws {
        let path = try ContentPath(content)
        try await service.withClient { client in
            let meter = ProgressMeter()
            try await ProgressBar(isWanted: progress).showing(meter, totalByteCount: nil) {
                try await get(path, client, meter)
            }
        }
    }

    private func get(
        _ path: ContentPath, _ client: ServiceClient, _ meter: ProgressMeter
    ) async throws {
        let workers = try WorkerPool(name: "verify", threadCount: ProcessorCount.available)
        let stream = try await client.openArchive(
            path.root, path: path.names, listsDuplicates: true)
        let source = BlockSource(
            VerifiedArchive(stream, workers: workers, meter: meter), client)
        let cid = try await Self.resolve(path, source)
        let block = try await source.block(cid)
        let restorer = TreeRestorer(source)
        if output == "-" {
            return try await restorer.stream(cid, block) { try Console.shared.print(Array($0)) }
        }
        let saved = try await save(cid, block, path, restorer)
        if service.isJSON {
            struct Saved: Encodable {
                var cid, path: String
                var files, bytes: Int
            }
            try Console.shared.printLine(
                JSONBody.encode(
                    Saved(
                        cid: cid.description, path: saved, files: restorer.fileCount,
                        bytes: restorer.byteCount)))
        } else {
            Console.shared.printError("saved \(saved)")
        }
    }

    private static func resolve(_ path: ContentPath, _ source: BlockSource) async throws -> CID {
        var resolver = PathResolver(root: path.root, path: path.names)
        while true {
            switch try resolver.next() {
            case .needBlock(let cid):
                let block = try await source.block(cid)
                try block.withUnsafeBytes { try resolver.supply($0, for: cid) }
            case .resolved(let resolution):
                return resolution.terminal
            }
        }
    }

    // MARK: Where it goes

    /// - Returns: The path it has now.
    private func save(
        _ cid: CID, _ block: [UInt8], _ path: ContentPath, _ restorer: TreeRestorer
    ) async throws -> String {
        let isDirectory = try block.withUnsafeBytes { try UnixFSNode(cid: cid, block: $0) }
            .isDirectory
        let target = output ?? "./" + String(decoding: path.lastName, as: UTF8.self)
        if try FileSystem.loadStatus(target)?.kind == .directory {
            let directory = try Directory(target)
            if isDirectory {
                try await restorer.restoreEntries(cid, block, into: directory)
                return target
            }
            try await Self.save(cid, block, as: path.lastName, in: directory, restorer)
            return "\(target)/\(String(decoding: path.lastName, as: UTF8.self))"
        }
        let (parent, name) = Self.split(target)
        guard PathSafety.isComponent(name) else {
            throw CommandOutcome(
                .local, "'\(target)' has no name to give to what is saved; add one")
        }
        try await Self.save(cid, block, as: name, in: try Directory(parent), restorer)
        return target
    }

    private static func save(
        _ cid: CID, _ block: [UInt8], as name: [UInt8], in parent: Directory,
        _ restorer: TreeRestorer
    ) async throws {
        guard try parent.loadStatus(name) == nil else {
            throw NameTaken(
                path: "\(parent.file.path)/\(String(decoding: name, as: UTF8.self))")
        }
        try await restorer.restore(cid, block, as: name, in: parent, isShared: true)
    }

    private static func split(_ target: String) -> (parent: String, name: [UInt8]) {
        let separator = UInt8(ascii: "/")
        var text = target.utf8[...]
        while text.count > 1, text.last == separator { text.removeLast() }
        guard let slash = text.lastIndex(of: separator) else { return (".", Array(text)) }
        let parent = slash == text.startIndex ? "/" : String(Substring(text[..<slash]))
        return (parent, Array(text[text.index(after: slash)...]))
    }
}
