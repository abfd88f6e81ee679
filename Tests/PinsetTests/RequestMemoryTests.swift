import Multiformats
import Testing

@testable import Pinset

/// Once and only once.
struct RequestMemoryTests {
    private let join = Command.joinPeer(Names.join("a", capacity: 1000))

    @Test func aRetryOfACommandThatChangedItsMindSinceStillGetsTheFirstAnswer() {
        var cluster = TestCluster()
        cluster.run(join)
        cluster.run(.openUpload(Names.upload("u"), TestCluster.options("u")))
        let request = cluster.requestID()
        let reserve = Command.reserveShard(Names.upload("u"), number: 0, byteCount: 100)
        let first = cluster.run(reserve, as: request)
        cluster.run(.abortUpload(Names.upload("u"), reason: "test"))
        #expect(cluster.run(reserve, as: request) == first)
        #expect(cluster.state.peer(Names.peer("a"))?.reservedByteCount == 0)
    }

    @Test func anIDOlderThanTheMemoryIsRefusedEvenWhenItWasNeverApplied() {
        var cluster = TestCluster(state: PinsetState(rememberedRequestLimit: 3))
        let early = RequestID(proposerIndex: .beforeFirst, high: 1, low: 1)
        cluster.run(join)
        for byteCount in 0..<3 { cluster.run(.setCapacity(Names.peer("a"), byteCount: byteCount)) }
        let refused = cluster.run(.setCapacity(Names.peer("a"), byteCount: 77), as: early)
        #expect(
            refused
                == .refused(
                    .requestTooOld(
                        proposerIndex: .beforeFirst, rememberedFrom: LogIndex(rawValue: 1))))
        #expect(cluster.state.peer(Names.peer("a"))?.capacityByteCount == 2)
        let late = RequestID(proposerIndex: LogIndex(rawValue: 1), high: 1, low: 2)
        #expect(cluster.run(.setCapacity(Names.peer("a"), byteCount: 77), as: late) == .done)
    }

    @Test func theMemoryKeepsTheLastRequestsThroughManyEvictions() {
        var cluster = TestCluster(state: PinsetState(rememberedRequestLimit: 10))
        cluster.run(join)
        var requests: [RequestID] = []
        for byteCount in 0..<200 {
            requests.append(cluster.requestID())
            cluster.run(
                .setCapacity(Names.peer("a"), byteCount: byteCount), as: requests[byteCount])
        }
        #expect(cluster.state.requests.entries.count == 10)
        let before = cluster.state.peer(Names.peer("a"))
        for request in requests.suffix(10) {
            let again = cluster.run(.setCapacity(Names.peer("a"), byteCount: 5), as: request)
            #expect(again == .done)
        }
        #expect(cluster.state.peer(Names.peer("a")) == before)
        let evicted = cluster.run(.setCapacity(Names.peer("a"), byteCount: 5), as: requests[180])
        #expect(evicted.refusal != nil)
    }

    @Test func aLogEntryDeliveredTwiceIsAppliedOnce() {
        var state = PinsetState()
        let request = RequestID(proposerIndex: .beforeFirst, high: 0, low: 1)
        let index = LogIndex(rawValue: 9)
        let first = state.apply(join, requestID: request, logTime: .zero, logIndex: index)
        let digest = state.digest()
        let second = state.apply(join, requestID: request, logTime: .zero, logIndex: index)
        #expect(first.0 == second.0 && second.1.isEmpty)
        let other = RequestID(proposerIndex: .beforeFirst, high: 0, low: 2)
        let stale = state.apply(join, requestID: other, logTime: .zero, logIndex: index)
        #expect(stale.0 == .refused(.alreadyApplied(logIndex: index)))
        #expect(state.digest() == digest)
    }

    @Test func logTimeNeverRunsBackwards() {
        var state = PinsetState()
        let late = LogTime(millisecondsSinceEpoch: 500)
        let request = RequestID(proposerIndex: .beforeFirst, high: 0, low: 1)
        _ = state.apply(join, requestID: request, logTime: late, logIndex: LogIndex(rawValue: 1))
        let other = RequestID(proposerIndex: .beforeFirst, high: 0, low: 2)
        _ = state.apply(join, requestID: other, logTime: .zero, logIndex: LogIndex(rawValue: 2))
        #expect(state.logTime == late)
    }
}
