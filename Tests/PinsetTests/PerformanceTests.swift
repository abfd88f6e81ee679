import Foundation
import Multiformats
import ShardPlanner
import Testing

@testable import Pinset

/// Figures for the RFC, printed when `PINSET_FIGURES` is set; best with optimisation. They gate
/// nothing: machines differ.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["PINSET_FIGURES"] != nil), .serialized)
struct PerformanceTests {
    @Test func aHundredRootsOfTenThousandShards() throws {
        var cluster = TestCluster(state: PinsetState())
        for number in 0..<12 {
            cluster.run(
                .joinPeer(Names.join("p\(number)", zone: "z\(number % 4)", capacity: 1 << 50)))
        }
        _ = cluster.state.drainChanges()
        var times: [String: (total: Duration, count: Int)] = [:]
        func measure(_ what: String, _ body: () -> Void) {
            let start = Self.processorTime
            body()
            let time = Self.processorTime - start
            times[what, default: (.zero, 0)].total += time
            times[what, default: (.zero, 0)].count += 1
        }
        var number: UInt64 = 0
        for root in 0..<100 {
            let id = Names.upload("u\(root)")
            cluster.run(
                .openUpload(id, TestCluster.options("u\(root)", copies: 2, coordinator: "p0")))
            var cids: [CID] = []
            for shardNumber in 0..<10_000 {
                number += 1
                measure("reserve") {
                    cluster.run(.reserveShard(id, number: shardNumber, byteCount: 105_000_000))
                }
                let peers = cluster.state.reservation(id, number: shardNumber)?.peers ?? []
                let shard = Self.shard(number)
                cids.append(shard.cid)
                let receipts = cluster.receipts(peers, of: shard)
                measure("seal") {
                    cluster.run(.sealShard(id, number: shardNumber, shard, receipts: receipts))
                }
                measure("drain changes") { _ = cluster.state.drainChanges() }
            }
            let commit = UploadCommit(
                root: Names.cid("root\(root)"), clusterDAG: try ListNode.root(of: cids),
                shardCount: 10_000, contentByteCount: 1)
            measure("commit of 10,000 shards") { cluster.run(.commitUpload(id, commit)) }
        }
        #expect(cluster.state.shardCount == 1_000_000)
        measure("pins, a page of 1000") { _ = cluster.state.pins(limit: 1000) }
        measure("holdings of a peer") { _ = cluster.state.holdings(of: Names.peer("p3")) }
        measure("digest") { _ = cluster.state.digest() }
        measure("unpin of 10,000 shards") { cluster.run(.unpin(Names.cid("root7"))) }
        measure("drain after unpin") { _ = cluster.state.drainChanges() }
        for (what, time) in times.sorted(by: { $0.key < $1.key }) {
            print("figure: \(what): \(time.total / time.count) each, \(time.count) times")
        }
        print("figure: peak memory \(Self.peakMemory) for 1,000,000 shards of two copies")
    }

    @Test func aDecisionAmongAThousandPeers() throws {
        let peers = try (0..<1000).map { number in
            PeerCapacity(
                peer: try PeerID(
                    publicKey: BigEndian.bytes(UInt64(number)) + Array(repeating: 3, count: 24)),
                capacityByteCount: 1 << 40, usedByteCount: number << 20, zone: "z\(number % 7)")
        }
        let policy = try AllocationPolicy(replicationMin: 2, replicationMax: 3)
        let start = Self.processorTime
        for number in 0..<100 {
            _ = try allocate(
                AllocationRequest(
                    upload: Names.upload("u"), shardNumber: number, shardByteCount: 1 << 27,
                    policy: policy), among: peers)
        }
        let time = Self.processorTime - start
        print("figure: decision among 1000 peers: \(time / 100)")
    }

    private static func shard(_ number: UInt64) -> ShardDescription {
        var random = SeededGenerator(seed: number)
        let digest = (0..<4).flatMap { _ in BigEndian.bytes(random.next()) }
        let cid = digest.withUnsafeBytes {
            CID(version: .v1, codec: .dagCBOR, hashFunction: .sha2_256, digest: $0)
        }
        return ShardDescription(
            cid: cid, blockCount: 400, payloadByteCount: 104_000_000, fileByteCount: 104_100_000,
            depth: 1)
    }

    /// Time this thread had a processor: other processes do not show.
    private static var processorTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    private static var peakMemory: String {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }
        return line.map(String.init) ?? "unknown"
    }
}
