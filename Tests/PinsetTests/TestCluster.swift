import Multiformats
import ShardPlanner

@testable import Pinset

/// A state with a log: one command after the other, each with its own request ID.
struct TestCluster {
    var state: PinsetState
    private(set) var nextIndex: UInt64 = 1
    private(set) var effects: [Effect] = []

    init(state: PinsetState = PinsetState()) {
        self.state = state
        nextIndex = state.appliedIndex.rawValue + 1
    }

    /// Appends a command as a new request and applies it.
    @discardableResult
    mutating func run(_ command: Command) -> Outcome {
        run(command, as: requestID())
    }

    @discardableResult
    mutating func run(_ command: Command, as requestID: RequestID) -> Outcome {
        let index = LogIndex(rawValue: nextIndex)
        let time = LogTime(millisecondsSinceEpoch: 1_000_000 + nextIndex * 1000)
        nextIndex += 1
        let (outcome, effects) = state.apply(
            command, requestID: requestID, logTime: time, logIndex: index)
        self.effects = effects
        return outcome
    }

    /// A request ID as a proposer that has applied everything would make it.
    func requestID() -> RequestID {
        RequestID(proposerIndex: state.appliedIndex, high: 7, low: nextIndex)
    }

    /// A description of the shard called `name` with the sizes given.
    static func shard(
        _ name: String, blocks: Int = 3, payload: Int = 80, file: Int = 90, depth: Int = 1
    ) -> ShardDescription {
        ShardDescription(
            cid: Names.cid(name), blockCount: blocks, payloadByteCount: payload,
            fileByteCount: file, depth: depth)
    }

    /// Receipts of peers for a shard, as new as the state allows.
    func receipts(_ peers: [PeerID], of shard: ShardDescription) -> [Receipt] {
        peers.map { peer in
            Receipt(
                peer: peer, storageID: Names.storage(of: peer),
                generation: state.generation(ofShard: shard.cid, on: peer),
                fileByteCount: shard.fileByteCount)
        }
    }

    /// Makes peers members: `names` with one capacity, each in a zone of its own.
    mutating func join(_ names: [String], capacity: Int) {
        for name in names { run(.joinPeer(Names.join(name, zone: name, capacity: capacity))) }
    }

    static func options(
        _ name: String, copies: Int = 1, max: Int? = nil, coordinator: String = "a",
        allowed: [String] = [], expected: Int? = nil
    ) -> UploadOptions {
        do {
            let policy = try AllocationPolicy(
                replicationMin: copies, replicationMax: max ?? copies,
                userAllocations: allowed.map(Names.peer))
            return UploadOptions(
                name: name, policy: policy, shardLimitByteCount: 100,
                coordinator: Names.peer(coordinator), expectedByteCount: expected)
        } catch {
            fatalError("\(error)")
        }
    }

    /// Opens, fills and commits an upload of the shards named, each on the peers allocated.
    @discardableResult
    mutating func upload(
        _ name: String, root: String, shards: [String], copies: Int = 1
    ) -> Outcome {
        let id = Names.upload(name)
        run(.openUpload(id, Self.options(name, copies: copies)))
        for (number, shardName) in shards.enumerated() {
            guard
                case .reserved(let reserved) = run(
                    .reserveShard(id, number: number, byteCount: 100))
            else { return .refused(.badArgument("no room for shard \(number)")) }
            let shard = Self.shard(shardName)
            run(
                .sealShard(
                    id, number: number, shard, receipts: receipts(reserved.peers, of: shard)))
        }
        return run(.commitUpload(id, Self.commit(root, shards)))
    }

    static func commit(_ root: String, _ shards: [String]) -> UploadCommit {
        UploadCommit(
            root: Names.cid(root), clusterDAG: Names.clusterDAG(shards), shardCount: shards.count,
            contentByteCount: 10)
    }

    /// Confirms every dropped copy of every peer.
    mutating func confirmAllDrops() {
        for member in state.members {
            for drop in state.holdings(of: member.peer).drops {
                run(.confirmDropped(member.peer, shard: drop.shard, generation: drop.generation))
            }
        }
    }
}
