import ArgumentParser
import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO
import ShardPlanner

struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Reads every block of a root back and checks it.",
        discussion: """
            All blocks below the root are fetched, each is checked against its CID, and all links \
            must lead to one of them. If that fails, the blocks of every shard are asked for one by \
            one, to name those that are damaged or missing; the exit code is then 4.
            """)

    @Argument(help: "The root.")
    var root: String?

    @Flag(help: "All roots that are pinned.")
    var all = false

    @Flag(inversion: .prefixedNo, help: "Show a progress bar. Default: on a terminal.")
    var progress: Bool?

    @OptionGroup(title: "Service options") var service: ServiceOptions

    private struct Report: Encodable {
        var root: String
        var ok: Bool
        var blocks = 0
        var bytes = 0
        var damaged: [String] = []
        var missing: [String] = []
    }

    func validate() throws {
        guard all != (root != nil) else { throw ValidationError("give a root, or --all") }
    }

    func run() async throws {
        guard all else { return try await verify(root ?? "") }
        var failed: [String] = []
        var count = 0
        var next: String?
        repeat {
            let after = next
            let page = try await service.withClient { try await $0.pins(after: after) }
            for pin in page.values {
                do {
                    try await verify(pin.cid)
                } catch  where CommandOutcome(error).code == .verificationFailed {
                    let message = CommandOutcome(error).message ?? pin.cid
                    Console.shared.printError("ingest-cli: \(message)")
                    failed.append(pin.cid)
                } catch ClientError.refused(let document) where document.code == 404 {
                    Console.shared.printError("ingest-cli: \(pin.cid) was removed meanwhile")
                    continue
                }
                count += 1
            }
            next = page.next
        } while next != nil
        guard failed.isEmpty else {
            throw CommandOutcome(
                .verificationFailed, "\(failed.count) of \(count) roots are not whole")
        }
        if !service.isJSON { try Console.shared.printLine("\(count) roots, all complete") }
    }

    private func verify(_ root: String) async throws {
        let path = try ContentPath(root)
        guard path.names.isEmpty else {
            throw CommandOutcome(.local, "'\(root)' is not a root; give a CID without a path")
        }
        let report = try await service.withClient { client in
            let table = try await client.shardTable(path.root.description)
            let meter = ProgressMeter()
            let total = table.shards.reduce(0) { $0 + Int(clamping: $1.payloadBytes) }
            return try await ProgressBar(isWanted: progress).showing(meter, totalByteCount: total) {
                do {
                    return try await readAll(path.root, client, meter)
                } catch  where Self.isAboutContent(error) {
                    Console.shared.printError(
                        "ingest-cli: not all came back whole; asking for each block of its shards")
                    let report = try await readEach(path.root, table, client)
                    if report.ok { return try await readAgain(path.root, client, meter) }
                    // A root that was removed meanwhile is refused here: it has lost nothing.
                    _ = try await client.shardTable(report.root)
                    return report
                }
            }
        }
        try print(report)
        if !report.ok {
            throw CommandOutcome(
                .verificationFailed,
                "\(report.root): \(report.damaged.count) damaged and \(report.missing.count) missing "
                    + "blocks; add the content again from its source")
        }
    }

    /// Whether an error may come from the content, not from the way to the service.
    private static func isAboutContent(_ error: any Error) -> Bool {
        switch error {
        case ClientError.unreachable, is CancellationError, is IOError, CARImportError.scratch:
            false
        default: true
        }
    }

    // MARK: The usual way: one stream

    private func readAll(
        _ root: CID, _ client: ServiceClient, _ meter: ProgressMeter
    ) async throws -> Report {
        let workers = try WorkerPool(name: "verify", threadCount: ProcessorCount.available)
        let workshop = try ImportWorkshop()
        let stream = try await client.openArchive(root, path: [], listsDuplicates: false)
        var archive = VerifiedArchive(stream, workers: workers, meter: meter)
        var completeness = try CARImport(
            roots: [root], scratch: workshop.scratch, seed: UInt64.random(in: 0...UInt64.max))
        var report = Report(root: root.description, ok: true)
        while let section = try await archive.next() {
            let addition = try section.block.withUnsafeBytes {
                try completeness.add(section.cid, $0)
            }
            guard case .new = addition else { continue }
            report.blocks += 1
            report.bytes += section.block.count
        }
        _ = try completeness.finish()
        return report
    }

    // MARK: After a failure: block by block

    private func readEach(
        _ root: CID, _ table: ShardTable, _ client: ServiceClient
    ) async throws -> Report {
        var report = Report(root: root.description, ok: true)
        for shard in table.shards {
            for cid in try await list(shard, client, &report) {
                try Task.checkCancellation()
                try await read(cid, client, &report)
            }
        }
        report.ok = report.damaged.isEmpty && report.missing.isEmpty
        return report
    }

    /// Every block of the shards is there. What ended the stream may have passed; a block that is in no
    /// shard ends it again.
    private func readAgain(
        _ root: CID, _ client: ServiceClient, _ meter: ProgressMeter
    ) async throws -> Report {
        do {
            return try await readAll(root, client, meter)
        } catch  where Self.isAboutContent(error) {
            throw VerificationError.incomplete(
                root: root, reason: "every block of its shards is there, but \(error)")
        }
    }

    /// The blocks of a shard, from its list nodes.
    private func list(
        _ shard: ShardTable.Shard, _ client: ServiceClient, _ report: inout Report
    ) async throws -> [CID] {
        guard let block = try await read(try CID(shard.cid), client, &report) else { return [] }
        let links = try ListNode.decode(block)
        // Fewer are leaves of the list.
        if UInt64(links.count) == shard.blocks { return links }
        var all: [CID] = []
        for leaf in links {
            if let inner = try await read(leaf, client, &report) {
                all += try ListNode.decode(inner)
            }
        }
        return all
    }

    @discardableResult
    private func read(
        _ cid: CID, _ client: ServiceClient, _ report: inout Report
    ) async throws -> [UInt8]? {
        do {
            let block = try await client.loadVerifiedBlock(cid)
            report.blocks += 1
            report.bytes += block.count
            return block
        } catch ClientError.refused(let document) where document.code == 404 {
            report.missing.append(cid.description)
        } catch ClientError.refused(let document)
            where document.type == ErrorCode.internalError.type
        {
            // The service refuses to send what it finds damaged.
            report.damaged.append(cid.description)
        } catch is VerificationError {
            report.damaged.append(cid.description)
        }
        return nil
    }

    private func print(_ report: Report) throws {
        if service.isJSON { return try Console.shared.printLine(JSONBody.encode(report)) }
        for cid in report.damaged { try Console.shared.printLine("damaged \(cid)") }
        for cid in report.missing { try Console.shared.printLine("missing \(cid)") }
        let outcome = report.ok ? "complete" : "NOT complete"
        try Console.shared.printLine(
            "\(report.root) \(outcome): \(report.blocks) blocks, \(report.bytes) bytes verified")
    }
}
