import Importer
import IngestAPI
import IngestClient
import Multiformats
import ShardPlanner

/// Plans an add: what shards there would be and where they would go.
struct DryRun {
    let parameters: AddParameters
    let service: ServiceOptions

    /// - Parameter report: Tells what was left out; whether that makes the plan partial.
    /// - Returns: Whether one was.
    func run(
        _ inputs: [AddInput], bar: ProgressBar, _ report: ([WalkOmissions]) -> Bool
    ) async throws -> Bool {
        let workshop = try ImportWorkshop()
        var isPartial = false
        for input in inputs {
            let sink = PlanSink(shardLimit: parameters.shardByteLimit, scratch: workshop.scratch)
            let meter = ProgressMeter()
            let job = LocalImport(
                input: input,
                pipeline: try workshop.makePipeline(try parameters.importOptions(), sink: sink),
                meter: meter)
            let (root, omissions) = try await bar.showing(meter, totalByteCount: nil, job.run)
            if report(omissions) { isPartial = true }
            var plan = try sink.finish(root: root.cid)
            let peers = try await place(&plan)
            try print(plan, peers)
        }
        return isPartial
    }

    /// Asks the service where the shards would go. Without one, that is left open: no reason to keep the
    /// rest of the plan back.
    ///
    /// - Returns: The peers, for their names.
    private func place(_ plan: inout ShardPlan) async throws -> [PeerDocument] {
        let sizes = plan.shards.map(\.fileByteCount)
        do {
            let (answer, peers) = try await service.withClient { client in
                (
                    try await client.plan(
                        fileByteCounts: sizes, parameters.pin.queryItems),
                    try await client.peers()
                )
            }
            for (index, chosen) in zip(plan.shards.indices, answer.shards) {
                plan.shards[index].peers = try chosen.map { try PeerID($0) }
            }
            return peers
        } catch let error as ClientError {
            guard case .unreachable = error else { throw error }
            Console.shared.printError("ingest-cli: planned without peers: \(error)")
            return []
        }
    }

    // MARK: Printing

    private func print(_ plan: ShardPlan, _ documents: [PeerDocument]) throws {
        if service.isJSON {
            return try Console.shared.printLine(JSONBody.encode(PlanDocument(plan)))
        }
        let names = Dictionary(documents.map { ($0.id, $0.peername) }) { first, _ in first }
        try Console.shared.printLine("root         \(plan.root)")
        try Console.shared.printLine("cluster DAG  \(plan.clusterDAG)")
        try Console.shared.printLine("profile      \(parameters.profile.rawValue)")
        var table = TextTable(["SHARD", "CID", "BLOCKS", "BYTES", "FILE BYTES", "PEERS"])
        table.rightAligned = [0, 2, 3, 4]
        for shard in plan.shards {
            let peers = shard.peers.map { peerText($0.description, names[$0.description]) }
            table.add([
                "\(shard.number)", "\(shard.cid)", "\(shard.blockCount)",
                "\(shard.payloadByteCount)", "\(shard.fileByteCount)",
                peers.isEmpty ? "-" : peers.joined(separator: " "),
            ])
        }
        try table.print()
        try Console.shared.printLine(
            "\(plan.shards.count) \(plan.shards.count == 1 ? "shard" : "shards"), "
                + "\(ByteCountText.text(plan.payloadByteCount)); nothing was sent")
    }
}

/// A plan in JSON, with the field names of a shard table.
private struct PlanDocument: Encodable {
    struct Shard: Encodable {
        var number: Int
        var cid: String
        var blocks: Int
        var payloadByteCount: Int
        var fileByteCount: Int
        var peers: [String]

        enum CodingKeys: String, CodingKey {
            case number, cid, blocks, peers
            case payloadByteCount = "payload_bytes"
            case fileByteCount = "file_bytes"
        }
    }

    var root: String
    var clusterDAG: String
    var shards: [Shard]

    enum CodingKeys: String, CodingKey {
        case root, shards
        case clusterDAG = "cluster_dag"
    }

    init(_ plan: ShardPlan) {
        root = plan.root.description
        clusterDAG = plan.clusterDAG.description
        shards = plan.shards.map {
            Shard(
                number: $0.number, cid: $0.cid.description, blocks: $0.blockCount,
                payloadByteCount: $0.payloadByteCount, fileByteCount: $0.fileByteCount,
                peers: $0.peers.map(\.description))
        }
    }
}
