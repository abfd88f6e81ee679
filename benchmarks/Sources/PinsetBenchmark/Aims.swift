import Multiformats
import Pinset
import ShardPlanner

/// Figures of one size; most of them have an aim.
struct Aims {
    private static let decision = 1e-3
    private static let shardCommand = 100e-6
    private static let rootCommandPerShard = 2e-6

    private let peerCount = 1000
    private let shardCount = 100_000

    func run() throws {
        printRow("Figure", "Median", "Largest", "Aim", "Verdict")
        printRow("---", "---", "---", "---", "---")
        var cluster = Cluster(
            try PinsetState(rows: LargeState(peerCount: peerCount, shardCount: shardCount)),
            number: 0)
        try printDecisions(cluster)
        printQueries(cluster)
        var small = Cluster(peers: 0..<12)
        let few = try fillAndEmpty(&small, shardCount: 10_000, runs: 1)
        line("reserve among 12 peers", few.filling.reserve, Self.shardCommand)
        line("seal among 12 peers", few.filling.seal, Self.shardCommand)
        line("confirm a dropped copy among 12 peers", few.confirm, Self.shardCommand)
        let root = try fillAndEmpty(&cluster, shardCount: 10_000, runs: 3)
        line("reserve among \(peerCount) peers, the decision included", root.filling.reserve)
        line("seal among \(peerCount) peers", root.filling.seal, Self.shardCommand)
        line("confirm a dropped copy among \(peerCount) peers", root.confirm, Self.shardCommand)
        printRoot(root, shardCount: 10_000)
        printRoot(try fillAndEmpty(&cluster, shardCount: 100_000, runs: 1), shardCount: 100_000)
    }

    private func printDecisions(_ cluster: Cluster) throws {
        var apart = Samples()
        var alike = Samples()
        let empty = cluster.state.capacities.map { peer in
            PeerCapacity(
                peer: peer.peer, capacityByteCount: 1 << 40, zone: peer.zone, host: peer.host)
        }
        for number in 0..<1000 {
            try apart.time { try cluster.decide(number) }
            try alike.time { try Cluster.decide(number, among: empty) }
        }
        line("decision among \(peerCount) peers, \(shardCount) shards", apart, Self.decision)
        line("decision among \(peerCount) peers that are alike", alike, Self.decision)
    }

    private func printQueries(_ cluster: Cluster) {
        var page = Samples()
        var holdings = Samples()
        var digest = Samples()
        for peer in cluster.state.members.prefix(100) {
            _ = page.time { cluster.state.pins(limit: 1000) }
            _ = holdings.time { cluster.state.holdings(of: peer.peer) }
        }
        _ = digest.time { cluster.state.digest() }
        line("a page of 1000 pins", page)
        line("what a peer's disk should hold", holdings)
        perShard("digest of the state", digest, shardCount, hasAim: false)
    }

    // MARK: - Roots

    private struct RootTimes {
        var filling = Cluster.Filling()
        var commit = Samples()
        var commitRows = Samples()
        var unpin = Samples()
        var unpinRows = Samples()
        var confirm = Samples()
    }

    private func fillAndEmpty(
        _ cluster: inout Cluster, shardCount: Int, runs: Int
    ) throws -> RootTimes {
        var times = RootTimes()
        for _ in 0..<runs {
            let upload = cluster.openUpload()
            let shards = cluster.fill(upload, shardCount: shardCount, &times.filling)
            let root = try cluster.commit(upload, shards, &times.commit)
            times.commitRows.time { cluster.drainChanges() }
            cluster.unpin(root, &times.unpin)
            times.unpinRows.time { cluster.drainChanges() }
            cluster.confirmDrops(&times.confirm)
        }
        return times
    }

    private func printRoot(_ times: RootTimes, shardCount: Int) {
        perShard("commit a root of \(shardCount) shards", times.commit, shardCount)
        perShard("its changed rows", times.commitRows, shardCount, hasAim: false)
        perShard("unpin a root of \(shardCount) shards", times.unpin, shardCount)
        perShard("its changed rows", times.unpinRows, shardCount, hasAim: false)
    }

    // MARK: - Lines

    private func line(_ name: String, _ times: Samples, _ aim: Double? = nil) {
        row(name, text(times.median), text(times.largest), times.median, aim)
    }

    /// The pause is the command's whole time; the aim is for its share of one shard.
    private func perShard(_ name: String, _ times: Samples, _ shardCount: Int, hasAim: Bool = true)
    {
        let share = times.median / Double(shardCount)
        row(
            name, "\(text(share)) a shard", "\(text(times.largest)) in all", share,
            hasAim ? Self.rootCommandPerShard : nil)
    }

    private func row(
        _ name: String, _ median: String, _ largest: String, _ figure: Double, _ aim: Double?
    ) {
        let verdict = aim.map { figure <= $0 ? "met" : "missed" } ?? "-"
        let wanted = aim.map { "<= \(text($0))" } ?? "-"
        printRow(name, median, largest, wanted, verdict)
    }
}
