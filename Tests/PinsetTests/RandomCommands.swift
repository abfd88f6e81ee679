import Multiformats
import SeededRandom
import ShardPlanner

@testable import Pinset

/// Commands that a seed makes up: mostly sensible ones, some that are wrong.
struct RandomCommands {
    private static let peerNames = ["a", "b", "c", "d", "e", "f"]
    private var random: SeededGenerator
    private var uploadCount = 0

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
    }

    mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    mutating func next(for cluster: TestCluster) -> Command {
        switch number(0...99) {
        case 0..<8: memberCommand(cluster)
        case 8..<20: openCommand()
        case 20..<40: reserveCommand(cluster)
        case 40..<65: sealCommand(cluster)
        case 65..<78: commitCommand(cluster)
        case 78..<88: endCommand(cluster)
        default: dropCommand(cluster)
        }
    }

    private mutating func name() -> String { Self.peerNames.randomElement(using: &random) ?? "a" }

    private mutating func memberCommand(_ cluster: TestCluster) -> Command {
        let name = name()
        let peer = Names.peer(name)
        switch number(0...9) {
        case 0...3:
            let storage =
                chance(10)
                ? StorageID(high: 2, low: UInt64(number(0...3))) : Names.storage(of: peer)
            return .joinPeer(
                Names.join(
                    name, zone: ["x", "y", nil].randomElement(using: &random) ?? nil,
                    capacity: number(0...3000), storage: storage, replacing: chance(30)))
        case 4: return .setCapacity(peer, byteCount: number(0...3000))
        case 5: return .setPeerStatus(peer, .down(since: cluster.state.logTime))
        case 6, 7: return .setPeerStatus(peer, .up)
        case 8: return chance(50) ? .drainPeer(peer) : .undrainPeer(peer)
        default: return .forgetPeer(peer, acceptingLoss: chance(30))
        }
    }

    private mutating func openCommand() -> Command {
        if chance(90) { uploadCount += 1 }
        let minimum = number(1...2)
        var options = TestCluster.options(
            "u\(uploadCount)", copies: minimum, max: minimum + number(0...1), coordinator: name(),
            allowed: chance(15) ? ["a", "b"] : [], expected: chance(10) ? number(1...5000) : nil)
        if chance(5), let policy = try? AllocationPolicy(replicationMin: -1, replicationMax: -1) {
            options.policy = policy
        }
        if chance(20) { options.expireAt = LogTime(millisecondsSinceEpoch: 1_100_000) }
        return .openUpload(Names.upload("u\(uploadCount)"), options)
    }

    private mutating func upload(_ cluster: TestCluster) -> UploadID {
        let open = cluster.state.allOpenUploads
        if chance(95), let upload = open.randomElement(using: &random) { return upload.id }
        return Names.upload("u\(number(0...uploadCount))")
    }

    private mutating func reserveCommand(_ cluster: TestCluster) -> Command {
        let id = upload(cluster)
        let count = cluster.state.manifests[id]?.entries.count ?? 0
        switch number(0...9) {
        case 0: return .extendReservation(id, number: number(0...count), byteCount: number(1...300))
        case 1:
            return .reallocateShard(id, number: number(0...count), excluding: [Names.peer(name())])
        default:
            return .reserveShard(
                id, number: chance(95) ? count : number(0...count + 1), byteCount: number(1...200))
        }
    }

    private mutating func sealCommand(_ cluster: TestCluster) -> Command {
        let id = upload(cluster)
        let entries = cluster.state.manifests[id]?.entries ?? []
        let reserved = entries.indices.filter { index in
            if case .reserved = entries[index] { true } else { false }
        }
        let number = reserved.randomElement(using: &random) ?? 0
        let reservation = cluster.state.reservation(id, number: number)
        let name = "s\(self.number(0...25))"
        // The same shard has the same length wherever it comes from.
        let file = 20 + Int(Names.cid(name).bytes[10]) % 120
        let shard = TestCluster.shard(name, payload: file - 10, file: file)
        var peers = reservation?.peers ?? [Names.peer("a")]
        if chance(15) { peers.removeLast() }
        if chance(3) { peers.append(Names.peer(self.name())) }
        var receipts = cluster.receipts(peers, of: shard)
        if chance(10), !receipts.isEmpty { receipts[0].generation = 0 }
        for index in receipts.indices where chance(20) {
            let newest = max(cluster.state.lastGeneration, receipts[index].generation)
            receipts[index].generation = self.number(receipts[index].generation...newest)
        }
        for index in receipts.indices where chance(97) {
            receipts[index].storageID =
                cluster.state.peer(receipts[index].peer)?.storageID ?? receipts[index].storageID
        }
        return .sealShard(id, number: number, shard, receipts: receipts)
    }

    private mutating func commitCommand(_ cluster: TestCluster) -> Command {
        let id = upload(cluster)
        let entries = cluster.state.manifests[id]?.entries ?? []
        var cids: [CID] = []
        for entry in entries {
            guard case .sealed(let cid) = entry else { break }
            cids.append(cid)
        }
        let dag = (try? ListNode.root(of: chance(95) ? cids : cids.reversed())) ?? Names.cid("dag")
        return .commitUpload(
            id,
            UploadCommit(
                root: Names.cid("root\(number(0...9))"), clusterDAG: dag,
                shardCount: chance(95) ? cids.count : number(0...3), contentByteCount: 1))
    }

    private mutating func endCommand(_ cluster: TestCluster) -> Command {
        switch number(0...9) {
        case 0...4: .unpin(Names.cid("root\(number(0...9))"))
        case 5: .abortUpload(upload(cluster), reason: "random")
        case 6: .renewUpload(upload(cluster))
        case 7: .expireUpload(upload(cluster), renewals: number(0...1))
        case 8: .forgetEndedUploads(endedBefore: cluster.state.logTime)
        default: .expirePins(at: cluster.state.logTime)
        }
    }

    private mutating func dropCommand(_ cluster: TestCluster) -> Command {
        let peer = Names.peer(name())
        guard let drop = cluster.state.holdings(of: peer).drops.randomElement(using: &random) else {
            return .confirmDropped(peer, shard: Names.cid("s0"), generation: number(0...5))
        }
        return .confirmDropped(
            peer, shard: drop.shard, generation: max(0, drop.generation - (chance(10) ? 1 : 0)))
    }
}
