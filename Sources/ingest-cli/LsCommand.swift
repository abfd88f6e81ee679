import ArgumentParser
import Importer
import IngestAPI
import IngestClient
import Multiformats

struct LsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists a directory: CID, size of the DAG below it, name.")

    @Argument(help: ArgumentHelp("What to list.", valueName: "CID[/path]"))
    var content: String

    @OptionGroup(title: "Service options") var service: ServiceOptions

    func run() async throws {
        let path = try ContentPath(content)
        try await service.withClient { client in
            var blocks = BlockPrefetch(client)
            do {
                try await list(path, &blocks)
            } catch {
                blocks.cancel()
                throw error
            }
        }
    }

    private func list(_ path: ContentPath, _ blocks: inout BlockPrefetch) async throws {
        var resolver = PathResolver(root: path.root, path: path.names)
        var terminal: CID?
        while terminal == nil {
            switch try resolver.next() {
            case .needBlock(let cid):
                let block = try await blocks.block(cid, soon: [])
                try block.withUnsafeBytes { try resolver.supply($0, for: cid) }
            case .resolved(let resolution):
                terminal = resolution.terminal
            }
        }
        guard let terminal else { return }
        let block = try await blocks.block(terminal, soon: [])
        let node = try block.withUnsafeBytes { try UnixFSNode(cid: terminal, block: $0) }
        guard node.isDirectory else {
            let byteCount = node.links.reduce(UInt64(block.count)) { $0 &+ $1.tsize }
            return try print(path.names.last ?? [], terminal, byteCount)
        }
        var walk = DirectoryWalk(root: terminal)
        while true {
            switch try walk.next() {
            case .needBlock(let cid):
                let soon = walk.lookahead(BlockPrefetch.windowCount)
                let bytes = cid == terminal ? block : try await blocks.block(cid, soon: soon)
                try bytes.withUnsafeBytes { try walk.supply($0, for: cid) }
            case .entry(let entry):
                try print(entry.name, entry.cid, entry.tsize)
            case .done:
                return
            }
        }
    }

    private func print(_ name: [UInt8], _ cid: CID, _ byteCount: UInt64) throws {
        var line: [UInt8] = []
        if service.isJSON {
            AddedOutput.appendLine(name: name, cid: cid, size: byteCount, to: &line)
        } else {
            line = Array("\(cid) \(byteCount) ".utf8) + name + [UInt8(ascii: "\n")]
        }
        try Console.shared.print(line)
    }
}
