import Multiformats
import Pinset
import SeededRandom
import ShardPlanner

/// A state with a log, and the time each of its commands took to apply, without saving.
///
/// Shards are of about 100 MiB with two copies. Peers have 20 zones, two on a host, and 10 to 80 TiB.
struct Cluster {
    /// What it took to fill an upload.
    struct Filling {
        var reserve = Samples()
        var seal = Samples()
    }

    private static let reservedByteCount = 101 << 20

    private(set) var state: PinsetState
    private var random: SeededGenerator
    private var lastIndex: UInt64

    /// An empty cluster.
    ///
    /// - Parameters:
    ///   - peers: Numbers of its members.
    ///   - number: Clusters of different numbers have no upload or shard in common.
    ///   - lastIndex: Where its log begins.
    init(peers: Range<Int>, number: Int = 0, after lastIndex: LogIndex = .beforeFirst) {
        self.init(PinsetState(), number: number)
        self.lastIndex = lastIndex.rawValue
        for peer in peers { Self.expect(apply(.joinPeer(Self.join(peer)))) }
        _ = state.drainChanges()
    }

    /// A state as it is, with a log that goes on.
    init(_ state: PinsetState, number: Int) {
        self.state = state
        random = SeededGenerator(seed: UInt64(number))
        lastIndex = state.appliedIndex.rawValue
    }

    // MARK: - Commands

    mutating func openUpload() -> UploadID {
        let id = UploadID(high: random.next(), low: random.next())
        let options = UploadOptions(
            name: "benchmark", policy: Self.policy, shardLimitByteCount: 100 << 20,
            coordinator: state.members[0].peer)
        Self.expect(apply(.openUpload(id, options)))
        return id
    }

    /// Reserves and seals shards of an upload; gives their CIDs.
    ///
    /// - Parameter isSaved: The changed rows of every shard are drained.
    mutating func fill(
        _ id: UploadID, shardCount: Int, isSaved: Bool = true, _ times: inout Filling
    ) -> [CID] {
        (0..<shardCount).map { number in
            let reserve = Command.reserveShard(
                id, number: number, byteCount: Self.reservedByteCount)
            guard case .reserved(let reserved) = times.reserve.time({ apply(reserve) }) else {
                fatalError("no room for shard \(number)")
            }
            let shard = makeShard()
            let seal = Command.sealShard(
                id, number: number, shard, receipts: Self.receipts(of: shard, reserved.peers))
            Self.expect(times.seal.time { apply(seal) })
            if isSaved { drainChanges() }
            return shard.cid
        }
    }

    /// Makes the shards of an upload a root; gives its CID.
    mutating func commit(_ id: UploadID, _ shards: [CID], _ times: inout Samples) throws -> CID {
        let root = makeCID(.dagPB)
        let commit = Command.commitUpload(
            id,
            UploadCommit(
                root: root, clusterDAG: try ListNode.root(of: shards), shardCount: shards.count,
                contentByteCount: shards.count * 100 << 20))
        Self.expect(times.time { apply(commit) })
        return root
    }

    mutating func unpin(_ root: CID, _ times: inout Samples) {
        Self.expect(times.time { apply(.unpin(root)) })
    }

    /// Peers confirm that they have deleted what was dropped, one copy after the other.
    mutating func confirmDrops(_ times: inout Samples) {
        for member in state.members {
            for drop in state.holdings(of: member.peer).drops {
                let confirm = Command.confirmDropped(
                    member.peer, shard: drop.shard, generation: drop.generation)
                Self.expect(times.time { apply(confirm) })
                _ = state.drainChanges()
            }
        }
    }

    /// Drains what the last command changed, as its owner does to save it.
    mutating func drainChanges() { _ = state.drainChanges() }

    /// Where the next shard would go: what `reserveShard` spends most of its time with.
    func decide(_ number: Int) throws(AllocationError) {
        try Self.decide(number, among: state.capacities)
    }

    static func decide(_ number: Int, among peers: [PeerCapacity]) throws(AllocationError) {
        _ = try allocate(
            AllocationRequest(
                upload: UploadID(high: 7, low: 7), shardNumber: number,
                shardByteCount: reservedByteCount, policy: policy),
            among: peers)
    }

    private mutating func apply(_ command: Command) -> Outcome {
        let requestID = RequestID(
            proposerIndex: LogIndex(rawValue: lastIndex), high: 7, low: lastIndex)
        lastIndex += 1
        return state.apply(
            command, requestID: requestID,
            logTime: LogTime(millisecondsSinceEpoch: lastIndex * 1000),
            logIndex: LogIndex(rawValue: lastIndex)
        ).0
    }

    /// Static, as a copy of the state would be kept for a method while the command is applied.
    private static func expect(_ outcome: Outcome) {
        if let refusal = outcome.refusal { fatalError("refused: \(refusal)") }
    }

    // MARK: - Values

    private static let policy: AllocationPolicy = {
        do {
            return try AllocationPolicy(replicationMin: 2, replicationMax: 2)
        } catch {
            fatalError("\(error)")
        }
    }()

    private static func join(_ number: Int) -> PeerJoin {
        var random = SeededGenerator(seed: UInt64(number))
        let key = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        do {
            return PeerJoin(
                peer: try PeerID(publicKey: key), name: "peer-\(number)",
                addresses: ["peer-\(number).example:9096"], zone: "zone-\(number % 20)",
                host: "host-\(number / 40)-\(number % 20)", storageID: storageID(key),
                capacityByteCount: Int.random(in: 10 << 10...80 << 10, using: &random) << 30)
        } catch {
            fatalError("\(error)")
        }
    }

    private static func storageID(_ key: [UInt8]) -> StorageID {
        guard let id = StorageID(bytes: key.prefix(16)) else { fatalError("it has 16 bytes") }
        return id
    }

    private mutating func makeShard() -> ShardDescription {
        let payload = (100 << 20) - Int.random(in: 0..<1 << 20, using: &random)
        return ShardDescription(
            cid: makeCID(.dagCBOR), blockCount: 101, payloadByteCount: payload,
            fileByteCount: payload + 10_000, depth: 1)
    }

    private mutating func makeCID(_ codec: Codec) -> CID {
        let words = (0..<4).map { _ in random.next() }
        return words.withUnsafeBytes {
            CID(version: .v1, codec: codec, hashFunction: .sha2_256, digest: $0)
        }
    }

    private static func receipts(of shard: ShardDescription, _ peers: [PeerID]) -> [Receipt] {
        peers.map { peer in
            Receipt(
                peer: peer, storageID: storageID(peer.publicKey), generation: 0,
                fileByteCount: shard.fileByteCount)
        }
    }
}
