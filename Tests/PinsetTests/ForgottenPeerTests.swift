import Multiformats
import ShardPlanner
import Testing

@testable import Pinset

/// What a peer may be forgotten with, by the state alone.
struct ForgottenPeerTests {
    /// A shard that wants one copy and has two.
    private func clusterWithASpareCopy() -> TestCluster {
        var cluster = TestCluster()
        cluster.join(["a", "b", "c"], capacity: 1000)
        let id = Names.upload("first")
        cluster.run(.openUpload(id, TestCluster.options("root", allowed: ["b"])))
        cluster.run(.reserveShard(id, number: 0, byteCount: 100))
        let shard = TestCluster.shard("s")
        let first = cluster.receipts([Names.peer("b")], of: shard)
        cluster.run(.sealShard(id, number: 0, shard, receipts: first))
        cluster.run(.commitUpload(id, TestCluster.commit("root", ["s"])))
        cluster.run(.drainPeer(Names.peer("b")))
        let copy = Names.upload("copy")
        cluster.run(.openUpload(copy, TestCluster.options("copy", allowed: ["c"])))
        cluster.run(.reserveShard(copy, number: 0, byteCount: 100))
        let second = cluster.receipts([Names.peer("c")], of: shard)
        cluster.run(.sealShard(copy, number: 0, shard, receipts: second))
        cluster.run(.abortUpload(copy, reason: "the copy is made"))
        cluster.run(.undrainPeer(Names.peer("b")))
        return cluster
    }

    @Test func ofTwoPeersWithTheOnlyCopiesOneIsSpareAndTheOtherIsKept() {
        var cluster = clusterWithASpareCopy()
        #expect(cluster.state.shard(Names.cid("s"))?.copies.count == 2)
        let first = cluster.run(.forgetPeer(Names.peer("b"), acceptingLoss: false))
        #expect(first == .done)
        let second = cluster.run(.forgetPeer(Names.peer("c"), acceptingLoss: false))
        #expect(
            second.refusal == .peerHoldsShards(Names.peer("c"), copies: 1, reservedByteCount: 0))
        #expect(cluster.state.shard(Names.cid("s"))?.copies.map(\.peer) == [Names.peer("c")])
    }

    @Test func theUploadsOfAForgottenPeerEndAndGiveBackWhatTheyReserved() {
        var cluster = TestCluster()
        cluster.join(["a", "b"], capacity: 1000)
        let id = Names.upload("open")
        cluster.run(
            .openUpload(id, TestCluster.options("open", coordinator: "a", allowed: ["b"])))
        cluster.run(.reserveShard(id, number: 0, byteCount: 100))
        #expect(cluster.state.peer(Names.peer("b"))?.reservedByteCount == 100)
        let outcome = cluster.run(.forgetPeer(Names.peer("a"), acceptingLoss: false))
        #expect(outcome == .done)
        #expect(cluster.state.openUploadCount == 0)
        #expect(cluster.state.peer(Names.peer("b"))?.reservedByteCount == 0)
        let problems = cluster.state.checkInvariants()
        #expect(problems.isEmpty)
    }
}
