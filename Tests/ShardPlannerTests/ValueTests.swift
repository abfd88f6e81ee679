import Multiformats
import Testing

@testable import ShardPlanner

/// Small values of the planner.
struct ValueTests {
    @Test func uploadIDsAreTextAndBytesBothWays() {
        let id = UploadID(high: 0x0123_4567_89ab_cdef, low: 1)
        #expect(id.description == "0123456789abcdef0000000000000001")
        #expect(UploadID(id.description) == id)
        #expect(UploadID(bytes: id.bytes) == id)
        for text in ["", "0123456789ABCDEF0000000000000001", "+123456789abcdef0000000000000001"] {
            #expect(UploadID(text) == nil)
        }
        #expect(UploadID(bytes: [1, 2]) == nil)
    }

    @Test(
        arguments: [
            (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB"),
            (100 << 20, "100 MiB"), ((100 << 20) + 1, "100 MiB"), (5 << 40, "5 TiB"),
            (Int.max, "7.9 EiB"),
        ])
    func byteCountsReadWell(count: Int, text: String) {
        #expect(ByteCountText.text(count) == text)
    }

    @Test func reservationsOfUnlimitedShardsGrowInFewSteps() {
        var byteCount = ReservationSteps.byteCount(atLeast: 1)
        #expect(byteCount == 128 << 20)
        var steps = 1
        while byteCount < 1 << 40 {
            let next = ReservationSteps.byteCount(atLeast: byteCount + 1)
            #expect(next > byteCount && next <= byteCount + byteCount / 2 + (128 << 20))
            byteCount = next
            steps += 1
        }
        #expect(steps <= 40, "a tebibyte took \(steps) steps")
    }

    @Test func aPlanPrintsALineForEveryShard() throws {
        let cid = try CID("bafkqaaa")
        let peer = try AllocateTests.peer(1)
        let plan = ShardPlan(
            root: cid, clusterDAG: cid,
            shards: [
                .init(
                    number: 0, cid: cid, blockCount: 2, payloadByteCount: 30, fileByteCount: 99,
                    peers: [peer])
            ])
        #expect(
            plan.description
                == "bafkqaaa in 1 shards, 30 bytes, cluster DAG bafkqaaa\n0 bafkqaaa 2 30 \(peer)")
    }
}
