import EtcdClient
import Foundation
import Multiformats
import Pinset
import Testing

@testable import ClusterCore

/// What the log over etcd must give beyond what every engine gives, against a real etcd.
@Suite(.timeLimit(.minutes(3))) struct EtcdLogTests {
    private let server: EtcdServer
    private let namespace = UUID().uuidString

    init() throws {
        server = try EtcdServer.shared.get()
    }

    private func makeLog(_ limits: EtcdLog.Limits = .init()) -> EtcdLog {
        EtcdLog(client: server.client, namespace: namespace, limits: limits)
    }

    private func proposal(_ number: UInt64, _ command: Command) -> Proposal {
        Proposal(
            requestID: RequestID(proposerIndex: .beforeFirst, high: 0, low: number),
            time: LogTime(millisecondsSinceEpoch: 1_700_000_000_000 + number), command: command,
            commandBytes: command.encoded)
    }

    private func entries(
        of log: EtcdLog, after index: LogIndex = .beforeFirst, count: Int
    ) async throws -> [LogEntry] {
        var entries: [LogEntry] = []
        while entries.count < count {
            entries += try await log.nextEntries(after: entries.last?.index ?? index)
        }
        return entries
    }

    @Test func aLogThatEndsBeforeWhatWasAppliedIsRefusedByName() async throws {
        let log = makeLog()
        defer { log.close() }
        try await log.propose(proposal(1, try Sample.join(1)))
        let applied = LogIndex(rawValue: 1 << 40)
        do {
            _ = try await log.nextEntries(after: applied)
            Issue.record("it is as if nothing were missing")
        } catch {
            guard case .setBack(let end, applied) = error else { throw error }
            #expect(end < applied)
        }
    }

    @Test func aLogThatBeginsAnewGivesNoIndexThatWasAppliedBefore() async throws {
        let log = makeLog()
        defer { log.close() }
        let history = try await log.history()
        try await log.propose(proposal(1, try Sample.join(1)))
        let first = try #require(try await entries(of: log, count: 1).first)
        let applied = LogIndex(rawValue: first.index.rawValue + 1000)
        #expect(try await log.beginAnew(after: applied) != history)
        try await log.propose(proposal(2, try Sample.join(2)))
        let next = try #require(try await entries(of: makeLog(), after: applied, count: 1).first)
        #expect(next.index > applied)
    }

    @Test func whatWasProposedComesOutAsItWas() async throws {
        let log = makeLog()
        defer { log.close() }
        let proposed = proposal(7, try Sample.join(1))
        try await log.propose(proposed)
        let entry = try #require(try await entries(of: log, count: 1).first)
        #expect(entry.proposal.requestID == proposed.requestID)
        #expect(entry.proposal.time == proposed.time)
        #expect(entry.proposal.commandBytes == proposed.commandBytes)
    }

    /// A repetition says another time, and a peer that read the first must not differ from one that
    /// reads after the second.
    @Test func aRequestThatIsRepeatedIsOneEntryAsItWasProposedFirst() async throws {
        let log = makeLog()
        defer { log.close() }
        var repeated = proposal(1, try Sample.join(1))
        let first = repeated.time
        #expect(try await log.propose(repeated) == nil)
        for _ in 0..<2 {
            repeated.time = LogTime(millisecondsSinceEpoch: 1)
            #expect(try await log.propose(repeated) != nil)
        }
        try await log.propose(proposal(2, try Sample.join(2)))
        let read = try await entries(of: log, count: 2)
        #expect(read.map(\.proposal.requestID.low) == [1, 2])
        #expect(read.first?.proposal.time == first)
    }

    @Test func peersReadOneOrderWhoeverProposed() async throws {
        let logs = [makeLog(), makeLog()]
        defer { for log in logs { log.close() } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in UInt64(0)..<200 {
                group.addTask {
                    let log = logs[Int(number % 2)]
                    try await log.propose(proposal(number, try Sample.join(UInt8(number))))
                }
            }
            try await group.waitForAll()
        }
        let first = try await entries(of: logs[0], count: 200)
        let second = try await entries(of: logs[1], count: 200)
        #expect(first.map(\.index) == second.map(\.index))
        #expect(first.map(\.proposal.requestID) == second.map(\.proposal.requestID))
        #expect(Set(first.map(\.proposal.requestID)).count == 200)
        #expect(first.map(\.index) == first.map(\.index).sorted())
    }

    /// A portion of the largest commands is far longer than one message of etcd's may be.
    @Test func theLargestCommandsComeWhole() async throws {
        let (log, follower) = (makeLog(), makeLog())
        defer { for log in [log, follower] { log.close() } }
        async let followed = entries(of: follower, count: 20)
        for number in UInt64(0)..<20 {
            let name = String(repeating: "x", count: PinsetDriver.commandByteLimit - 200)
            let command = Command.joinPeer(
                PeerJoin(
                    peer: try Sample.peer(1), name: name, storageID: .random(),
                    capacityByteCount: Int(number)))
            try await log.propose(proposal(number, command))
        }
        let read = try await entries(of: log, count: 20)
        #expect(read.map(\.proposal.requestID.low) == Array(0..<20))
        #expect(
            try await followed.map(\.proposal.commandBytes) == read.map(\.proposal.commandBytes))
    }

    /// Whoever applies slowly holds up the reading, and then gets the rest.
    @Test func whatIsReadAheadIsBounded() async throws {
        var limits = EtcdLog.Limits()
        (limits.bufferedByteCount, limits.portionByteCount) = (1, 1)
        let (log, reader) = (makeLog(), makeLog(limits))
        defer { for log in [log, reader] { log.close() } }
        for number in UInt64(0)..<100 {
            try await log.propose(proposal(number, try Sample.join(UInt8(number))))
        }
        var read = try await reader.nextEntries(after: .beforeFirst)
        // Meanwhile an unbounded reader would have read everything.
        for _ in 0..<5 {
            let other = makeLog()
            _ = try await entries(of: other, count: 100)
            other.close()
        }
        while read.count < 100 {
            let portion = try await reader.nextEntries(after: read.last?.index ?? .beforeFirst)
            #expect(portion.count <= 8)
            read += portion
        }
        #expect(read.map(\.proposal.requestID.low) == Array(0..<100))
    }

    @Test func whoIsBehindATrimIsToldAndOthersGoOn() async throws {
        let log = makeLog()
        defer { log.close() }
        for number in UInt64(0)..<250 {
            try await log.propose(proposal(number, try Sample.join(UInt8(number % 250))))
        }
        let all = try await entries(of: log, count: 250)
        try await log.trim(through: all[239].index)
        let (late, current) = (makeLog(), makeLog())
        defer { for log in [late, current] { log.close() } }
        await #expect(throws: LogError.trimmed(after: all[100].index)) {
            try await late.nextEntries(after: all[100].index)
        }
        let rest = try await entries(of: current, after: all[239].index, count: 10)
        #expect(rest.map(\.index) == all[240...].map(\.index))
        #expect(try await current.newestIndex() == all[249].index)
        try await log.trim(through: all[249].index)
        #expect(try await current.newestIndex() == all[249].index)
    }

    @Test func aFollowerOutlivesACompactionByOthers() async throws {
        let (log, follower) = (makeLog(), makeLog())
        defer { for log in [log, follower] { log.close() } }
        try await log.propose(proposal(1, try Sample.join(1)))
        let first = try await entries(of: follower, count: 1)
        for number in UInt64(2)...20 {
            try await log.propose(proposal(number, try Sample.join(UInt8(number))))
        }
        try await server.client.compact(through: try await log.newestIndex().rawValue)
        let rest = try await entries(of: follower, after: first[0].index, count: 19)
        #expect(rest.map(\.proposal.requestID.low) == Array(2...20))
    }

    /// A log whose watches tell nothing, and soon counts them as silent.
    private func makeDeafLog(_ muted: MutedWatches) -> EtcdLog {
        var limits = EtcdLog.Limits()
        limits.watchSilence = .milliseconds(50)
        return EtcdLog(
            client: EtcdClient(endpoints: [muted.url]), namespace: namespace, limits: limits)
    }

    @Test func aFollowerWhoseWatchFellSilentGetsItsEntriesAllTheSame() async throws {
        let muted = try await MutedWatches(before: server.client.endpoints[0])
        defer { muted.close() }
        let (log, deaf) = (makeLog(), makeDeafLog(muted))
        defer { for log in [log, deaf] { log.close() } }
        for number in UInt64(1)...3 {
            async let read = deaf.nextEntries(after: deaf.newestKnownIndex)
            try await log.propose(proposal(number, try Sample.join(UInt8(number))))
            #expect(try await read.map(\.proposal.requestID.low) == [number])
        }
    }

    @Test func aCommandOfANewerFormatStopsThePeerByName() async throws {
        let log = makeLog()
        defer { log.close() }
        try await log.propose(proposal(1, try Sample.join(1)))
        let key = Array("\(namespace)/log/".utf8) + Array(String(repeating: "0", count: 48).utf8)
        _ = try await server.client.transact(
            if: [], then: [.put(key, value: [2] + [UInt8](repeating: 0, count: 20))])
        var index = LogIndex.beforeFirst
        let error = await #expect(throws: LogError.self) {
            while true { index = try await log.nextEntries(after: index).last!.index }
        }
        #expect(error?.description.contains("format 2, and this daemon knows 1") == true)
    }

    @Test func withoutAnyMemberAProposalIsCertainlyRefused() async throws {
        // Nobody listens on the port of "discard".
        let client = EtcdClient(endpoints: ["http://127.0.0.1:9", "http://127.0.0.1:9"])
        var limits = EtcdLog.Limits()
        limits.proposalTimeout = .milliseconds(100)
        let log = EtcdLog(client: client, namespace: namespace, limits: limits)
        let proposal = proposal(1, try Sample.join(1))
        let error = await #expect(throws: LogError.self) { try await log.propose(proposal) }
        guard case .refused(proposal.requestID, .noQuorum) = error else {
            Issue.record("instead came \(String(describing: error))")
            return
        }
        await #expect(throws: LogError.self) { try await log.newestIndex() }
    }

    private static let refusal = #"{"code": 3, "message": "no key"}"#

    private func expectUnknownOutcome(of members: CannedServer...) async throws {
        let client = EtcdClient(endpoints: members.map(\.url))
        var limits = EtcdLog.Limits()
        limits.proposalTimeout = .milliseconds(100)
        let log = EtcdLog(client: client, namespace: namespace, limits: limits)
        let proposal = proposal(1, try Sample.join(1))
        let error = await #expect(throws: LogError.self) { try await log.propose(proposal) }
        guard case .unknownOutcome(proposal.requestID, _) = error else {
            Issue.record("instead came \(String(describing: error))")
            return
        }
    }

    /// One member took the command and its answer got lost; that another one refuses it says nothing.
    @Test func whatOneMemberMayHaveDoneIsUnknownThoughAnotherRefuses() async throws {
        try await expectUnknownOutcome(of: CannedServer(nil), CannedServer(Self.refusal))
    }

    @Test func whatIsNoAnswerOfEtcdsLeavesTheOutcomeUnknown() async throws {
        try await expectUnknownOutcome(of: CannedServer("<html>Bad Gateway</html>"))
    }

    /// etcd says this also of the transaction that it has just done, when that took the last space.
    @Test func whatFoundNoSpaceMayBeDone() async throws {
        try await expectUnknownOutcome(of: CannedServer(#"{"code": 8, "message": "no space"}"#))
    }

    @Test func aMemberThatGoesAwayInTheMiddleOfAnAnswerIsNotWaitedFor() async throws {
        let server = try await CannedServer { _ in .unfinished }
        let client = EtcdClient(endpoints: [server.url], bodyPatience: .milliseconds(100))
        let error = await #expect(throws: EtcdError.self) {
            try await client.range(EtcdRange(.one([1])))
        }
        #expect(error?.mayBeDone == true)
    }

    @Test func whatTheOnlyMemberRefusesIsCertainlyRefused() async throws {
        let refusing = try await CannedServer(Self.refusal)
        let log = EtcdLog(client: EtcdClient(endpoints: [refusing.url]), namespace: namespace)
        let proposal = proposal(1, try Sample.join(1))
        await #expect(
            throws: LogError.refused(
                proposal.requestID, .noQuorum(cause: "no key (code 3)"))
        ) { try await log.propose(proposal) }
    }

    @Test func aMemberThatIsDownIsPassedOver() async throws {
        let client = EtcdClient(endpoints: ["http://127.0.0.1:9"] + server.client.endpoints)
        let log = EtcdLog(client: client, namespace: namespace)
        try await log.propose(proposal(1, try Sample.join(1)))
        #expect(try await entries(of: log, count: 1).count == 1)
        log.close()
    }

    @Test func afterAKillOfEtcdTheLogGoesOnAndLosesNothing() async throws {
        let own = try EtcdServer()
        let log = EtcdLog(client: own.client, namespace: namespace)
        defer { log.close() }
        let history = try await log.history()
        for number in UInt64(1)...5 {
            try await log.propose(proposal(number, try Sample.join(UInt8(number))))
        }
        let before = try await entries(of: log, count: 5)
        own.stop()
        async let after = entries(of: log, after: before[4].index, count: 1)
        try own.start()
        while true {
            do {
                try await log.propose(proposal(6, try Sample.join(6)))
                break
            } catch LogError.unknownOutcome, LogError.refused {}
        }
        #expect(try await after.map(\.proposal.requestID.low) == [6])
        #expect(try await log.history() == history)
    }

    @Test func anEtcdWithOtherDataIsAnotherHistory() async throws {
        let other = try EtcdServer()
        let histories = [
            try await makeLog().history(),
            try await EtcdLog(client: other.client, namespace: namespace).history(),
            try await EtcdLog(client: server.client, namespace: namespace + "2").history(),
        ]
        #expect(Set(histories.map(\.name)).count == 3)
        #expect(try await makeLog().history() == histories[0])
    }

    @Test func aPeerLivesAsLongAsItsLease() async throws {
        let log = makeLog()
        defer { log.close() }
        let peer = try Sample.peer(9)
        let life = Life(log: log, peer: peer)
        _ = try await life.nextLease()
        #expect(try await log.livePeers() == [peer: "here:9096"])
        await life.end()
        #expect(try await log.livePeers() == [:])
    }

    @Test func aPeerWhoseLeaseWasLostGetsAnother() async throws {
        let log = makeLog()
        defer { log.close() }
        let peer = try Sample.peer(9)
        let life = Life(log: log, peer: peer)
        try await server.client.revokeLease(try await life.nextLease())
        _ = try await life.nextLease()
        #expect(try await log.livePeers() == [peer: "here:9096"])
        await life.end()
    }

    @Test func aSecondProcessUnderOneIdentityIsRefusedAndTheFirstLivesOn() async throws {
        let (log, copy) = (makeLog(), makeLog())
        defer { for log in [log, copy] { log.close() } }
        let peer = try Sample.peer(9)
        let life = Life(log: log, peer: peer)
        _ = try await life.nextLease()
        let other = EtcdLiveness(
            client: server.client, keys: EtcdLogKeys(namespace: namespace), limits: .init(),
            process: ProcessNonce())
        await #expect(throws: IdentityInUse.self) {
            try await other.keepAlive(peer, at: "there:9096", seconds: 2) { _ in
                Issue.record("both live")
            }
        }
        #expect(try await log.livePeers() == [peer: "here:9096"])
        await life.end()
    }
}

/// A peer that keeps itself alive.
private final class Life: Sendable {
    private let leases: AsyncStream<UInt64>
    private let task: Task<Void, any Error>

    init(log: EtcdLog, peer: PeerID) {
        let (leases, began) = AsyncStream.makeStream(of: UInt64.self)
        self.leases = leases
        task = Task {
            defer { began.finish() }
            try await log.keepAlive(peer, at: "here:9096") { began.yield($0) }
        }
    }

    func nextLease() async throws -> UInt64 {
        for await lease in leases { return lease }
        try await task.value
        throw LogError.closed(cause: "the peer ended")
    }

    func end() async {
        task.cancel()
        _ = await task.result
    }
}
