import Multiformats
import SeededRandom
import ShardPlanner

@testable import Pinset

/// Sixteen uploads at once fill twelve unequal peers in four zones, two copies of every shard.
struct PlacementSimulation {
    struct Figures {
        /// Largest minus smallest (used + reserved) / capacity when half of all space is taken.
        var spreadAtHalf = 0.0
        /// Shards placed before the first refusal for space.
        var shardCount = 0
        /// Bytes taken on all peers at the first refusal for space.
        var placedByteCount = 0
        /// Bytes on all peers that two copies in different zones can take at most.
        var feasibleByteCount = 0
        /// Bytes taken when two copies first shared a zone; `nil` if that never happened.
        var firstSharedZoneByteCount: Int?
        var largestZoneShare = 0.0
    }

    static let mebibyte = 1 << 20
    /// File bytes promised to a shard of 100 MiB.
    static let reservedByteCount = 101 * mebibyte
    private static let uploadCount = 16

    private var cluster = TestCluster(state: PinsetState(rememberedRequestLimit: 1000))
    private var random: SeededGenerator
    private var openShards: [(upload: UploadID, number: Int)] = []
    private var nextUpload: UInt64 = 0
    private var shardsLeft: [UploadID: Int] = [:]
    private var shardCount: UInt64 = 0
    /// Zones of the shard reserved last.
    private var lastZones: Set<String?> = []

    /// - Parameter firstZoneFactor: How much larger the peers of one zone are.
    init(seed: UInt64, firstZoneFactor: Int = 1) {
        random = SeededGenerator(seed: seed)
        for number in 0..<12 {
            let factor = number.isMultiple(of: 4) ? firstZoneFactor : 1
            let gibibytes = Int.random(in: 10...80, using: &random) * factor
            cluster.run(
                .joinPeer(
                    Names.join(
                        "p\(number)", zone: "z\(number % 4)", capacity: gibibytes << 30)))
        }
    }

    /// Runs until the first refusal for space.
    mutating func run() -> Figures {
        var figures = Figures()
        let zones = zoneByteCounts
        let total = zones.reduce(0, +)
        let largest = zones.max() ?? 0
        // A zone is good for one copy of each shard, so D bytes fit twice when the sum over zones
        // of min(zone, D) reaches 2 D: up to half of all, and up to all that other zones have.
        figures.feasibleByteCount = 2 * min(total / 2, total - largest)
        figures.largestZoneShare = Double(largest) / Double(total)
        var spread: Double?
        while reserveOne() {
            figures.shardCount += 1
            if lastZones.count == 1, figures.firstSharedZoneByteCount == nil {
                figures.firstSharedZoneByteCount = occupiedByteCount
            }
            if spread == nil, occupiedByteCount * 2 >= total { spread = fillSpread }
        }
        figures.spreadAtHalf = spread ?? 1
        figures.placedByteCount = occupiedByteCount
        return figures
    }

    private var occupiedByteCount: Int {
        cluster.state.members.reduce(0) { $0 + $1.usedByteCount + $1.reservedByteCount }
    }

    private var zoneByteCounts: [Int] {
        var zones: [String: Int] = [:]
        for member in cluster.state.members {
            zones[member.zone ?? "", default: 0] += member.capacityByteCount
        }
        return Array(zones.values)
    }

    /// Reserves a shard for some upload, after sealing its former one.
    ///
    /// - Returns: Whether there was room.
    private mutating func reserveOne() -> Bool {
        while openShards.count < Self.uploadCount {
            nextUpload += 1
            let id = UploadID(high: 5, low: random.next())
            cluster.run(
                .openUpload(id, TestCluster.options("u", copies: 2, coordinator: "p0")))
            shardsLeft[id] = Int.random(in: 1...60, using: &random)
            openShards.append((id, -1))
        }
        let index = Int.random(in: 0..<openShards.count, using: &random)
        var (id, number) = openShards[index]
        if number >= 0 { seal(id, number, isLast: shardsLeft[id] == 0) }
        if shardsLeft[id] == 0 {
            openShards.remove(at: index)
            return reserveOne()
        }
        shardsLeft[id, default: 1] -= 1
        number += 1
        openShards[index].number = number
        let outcome = cluster.run(
            .reserveShard(id, number: number, byteCount: Self.reservedByteCount))
        guard case .reserved(let shard) = outcome else { return false }
        lastZones = Set(shard.peers.map { cluster.state.peer($0)?.zone })
        return true
    }

    /// A shard is a little smaller than its reservation, an upload's last one is of any size.
    private mutating func seal(_ id: UploadID, _ number: Int, isLast: Bool) {
        guard let reservation = cluster.state.reservation(id, number: number) else { return }
        shardCount += 1
        let file =
            isLast
            ? Int.random(in: 1...Self.reservedByteCount, using: &random)
            : Self.reservedByteCount - Int.random(in: 0..<Self.mebibyte, using: &random)
        let digest = BigEndian.bytes(shardCount) + [UInt8](repeating: 9, count: 24)
        let cid = digest.withUnsafeBytes {
            CID(version: .v1, codec: .dagCBOR, hashFunction: .sha2_256, digest: $0)
        }
        let shard = ShardDescription(
            cid: cid, blockCount: 1, payloadByteCount: file - 1, fileByteCount: file, depth: 1)
        cluster.run(
            .sealShard(
                id, number: number, shard,
                receipts: cluster.receipts(reservation.peers, of: shard)))
    }

    private var fillSpread: Double {
        let fills = cluster.state.members.map {
            Double($0.usedByteCount + $0.reservedByteCount) / Double($0.capacityByteCount)
        }
        return (fills.max() ?? 0) - (fills.min() ?? 0)
    }

    /// Decides a shard from the members in several orders; the decisions, which should be one.
    mutating func shuffledDecisions(_ number: Int) throws -> [AllocationDecision] {
        let request = AllocationRequest(
            upload: UploadID(high: 1, low: 1), shardNumber: number,
            shardByteCount: Self.reservedByteCount,
            policy: try AllocationPolicy(replicationMin: 2, replicationMax: 2))
        return try (0..<5).map { _ in
            try allocate(request, among: cluster.state.capacities.shuffled(using: &random))
        }
    }

    mutating func fill(shards: Int) {
        for _ in 0..<shards { _ = reserveOne() }
    }
}
