import Importer
import IngestAPI
import IngestClient
import Multiformats
import ShardPlanner

/// Plans an add: what shards there would be and where they would go.
struct DryRun {
    let parameters: AddParameters
    let service: ServiceOptions

    /// - Returns: Whether something had to be left out.
    func run(_ inputs: [AddInput], isProgressShown: Bool) async throws -> Bool {
        let workshop = try ImportWorkshop()
        var isPartial = false
        for input in inputs {
            let sink = PlanSink(shardLimit: parameters.shardByteLimit, scratch: workshop.scratch)
            let meter = ProgressMeter()
            let job = LocalImport(
                input: input,
                pipeline: try workshop.makePipeline(try parameters.importOptions(), sink: sink),
                meter: meter)
            let (root, omissions) = try await showingProgress(
                meter, totalByteCount: nil, isShown: isProgressShown, job.run)
            if omissions.contains(where: { !$0.specialPaths.isEmpty }) { isPartial = true }
            var plan = try sink.finish(root: root.cid)
            let peers = try await loadPeers()
            if let peers { try Self.place(&plan, parameters, among: peers) }
            try print(plan, peers ?? [])
        }
        return isPartial
    }

    /// Nil when there is no service to ask, which is no reason to keep the rest of the plan back.
    private func loadPeers() async throws -> [PeerDocument]? {
        do {
            return try await service.withClient { try await $0.peers() }
        } catch let error as ClientError {
            guard case .unreachable = error else { throw error }
            Console.shared.printError("ingest-cli: planned without peers: \(error)")
            return nil
        }
    }

    /// Decides as the service would, each shard with the ones before it counted in.
    static func place(
        _ plan: inout ShardPlan, _ parameters: AddParameters, among documents: [PeerDocument]
    ) throws {
        var peers = try documents.compactMap { try capacity($0) }
        let pin = parameters.pin
        let minimum = pin.replication.minimum == 0 ? 1 : pin.replication.minimum
        let policy = try AllocationPolicy(
            replicationMin: minimum,
            replicationMax: pin.replication.maximum == 0
                ? max(1, minimum) : pin.replication.maximum,
            userAllocations: pin.userAllocations)
        let upload = UploadID(
            high: UInt64.random(in: 0...UInt64.max), low: UInt64.random(in: 0...UInt64.max))
        for index in plan.shards.indices {
            let shard = plan.shards[index]
            do {
                let decision = try allocate(
                    AllocationRequest(
                        upload: upload, shardNumber: shard.number,
                        shardByteCount: shard.fileByteCount, policy: policy),
                    among: peers)
                plan.shards[index].peers = decision.chosen
                for place in peers.indices where decision.chosen.contains(peers[place].peer) {
                    peers[place].reservedByteCount += shard.fileByteCount
                }
            } catch {
                throw CommandOutcome(.noSpace, "shard \(shard.number) has no place: \(error)")
            }
        }
    }

    private static func capacity(_ document: PeerDocument) throws -> PeerCapacity? {
        guard let storage = document.storage else { return nil }
        return PeerCapacity(
            peer: try PeerID(document.id), capacityByteCount: Int(clamping: storage.capacityBytes),
            usedByteCount: Int(clamping: storage.usedBytes),
            reservedByteCount: Int(clamping: storage.reservedBytes), zone: storage.zone,
            host: storage.host,
            state: storage.state == "up"
                ? .up : storage.state == "draining" ? .draining : .down(sinceMilliseconds: 0))
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
