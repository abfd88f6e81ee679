import CMalloc
import Multiformats
import Pinset
import PosixIO

/// What grows with the number of peers and shards, and what does not.
enum Growth {
    typealias Size = (peers: Int, shards: Int)

    private static let usual: [Size] = [
        (100, 100_000), (1000, 100_000), (1000, 1_000_000), (10_000, 1_000_000),
    ]
    /// Shards of the root that is made and removed among all others.
    private static let rootShardCount = 1000

    static func run(_ sizes: [Size] = usual) throws {
        printRow(
            "Peers", "Shards", "Decision", "Reserve", "Seal", "Commit, a shard", "Unpin, a shard",
            "Memory, a shard")
        printRow("---", "---", "---", "---", "---", "---", "---", "---")
        for size in sizes {
            try printLine(size)
            malloc_trim(0)
        }
    }

    private static func printLine(_ size: Size) throws {
        let before = ProcessFigures.residentByteCount
        var cluster = Cluster(
            try PinsetState(rows: LargeState(peerCount: size.peers, shardCount: size.shards)),
            number: 0)
        malloc_trim(0)
        let memory = ProcessFigures.residentByteCount - before

        var decision = Samples()
        for number in 0..<100 { try decision.time { try cluster.decide(number) } }
        var filling = Cluster.Filling()
        var commit = Samples()
        var unpin = Samples()
        let upload = cluster.openUpload()
        let shards = cluster.fill(upload, shardCount: rootShardCount, &filling)
        let root = try cluster.commit(upload, shards, &commit)
        cluster.unpin(root, &unpin)
        printRow(
            "\(size.peers)", "\(size.shards)", text(decision.median), text(filling.reserve.median),
            text(filling.seal.median), text(commit.median / Double(rootShardCount)),
            text(unpin.median / Double(rootShardCount)), "\(memory / size.shards) B")
    }
}
