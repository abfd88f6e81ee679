import Pinset
import Testing

@testable import ClusterCore

/// What a peer that wants to join makes of what the cluster says of itself.
struct ClusterInfoTests {
    private static let now: UInt64 = 1_800_000_000_000

    private func check(_ change: (inout ClusterInfo) -> Void) throws(JoinError) {
        var info = ClusterInfo(cluster: "ours", endpoints: ["https://a:9097"], isManaged: true)
        info.time = Self.now
        change(&info)
        try info.check(cluster: "ours", now: LogTime(millisecondsSinceEpoch: Self.now))
    }

    @Test func aPeerWithTheSameSecretFormatAndTimeIsJoined() throws {
        try check { _ in }
    }

    @Test func aForeignClusterIsRefused() {
        #expect(throws: JoinError.foreignCluster(found: "theirs", expected: "ours")) {
            try check { $0.cluster = "theirs" }
        }
    }

    @Test func aClusterWithAnEtcdOfItsOwnIsNotJoined() {
        #expect(throws: JoinError.notManaged) { try check { $0.isManaged = false } }
    }

    @Test func anotherFormatSaysWhichSideIsToBeUpgraded() {
        let own = PinsetState.formatVersion
        #expect(throws: JoinError.tooOld(own: own, cluster: own + 1)) {
            try check { $0.stateFormat = own + 1 }
        }
        #expect(throws: JoinError.tooNew(own: own, cluster: own - 1)) {
            try check { $0.stateFormat = own - 1 }
        }
    }

    @Test func aClockMayBeAMinuteOffAndNoMore() throws {
        try check { $0.time += 60_000 }
        try check { $0.time -= 60_000 }
        #expect(throws: JoinError.clock(seconds: 61, isAhead: false)) {
            try check { $0.time += 61_000 }
        }
        #expect(throws: JoinError.clock(seconds: 61, isAhead: true)) {
            try check { $0.time -= 61_000 }
        }
    }
}
