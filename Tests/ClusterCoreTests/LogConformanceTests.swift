import Multiformats
import Pinset
import Testing

@testable import ClusterCore

/// What every engine must give under `PinsetDriver`.
@Suite(.timeLimit(.minutes(3))) struct LogConformanceTests {
    @Test(arguments: LogKind.allCases)
    func outcomesComeInTheOrderOfTheCommands(kind: LogKind) async throws {
        try await LogHarness(kind).life { driver in
            let stranger = try Sample.peer(1)
            #expect(
                try await driver.appendSurely(Sample.forget(1)) == .refused(.unknownPeer(stranger)))
            #expect(try await driver.appendSurely(Sample.join(1)) == .done)
            #expect(try await driver.appendSurely(Sample.forget(1)) == .done)
            #expect(
                try await driver.appendSurely(Sample.forget(1)) == .refused(.unknownPeer(stranger)))
        }
    }

    @Test(arguments: LogKind.allCases)
    func aRepeatedRequestIsAppliedOnce(kind: LogKind) async throws {
        try await LogHarness(kind, seed: 2).life { driver in
            let request = driver.makeRequestID()
            _ = try await driver.appendSurely(Sample.join(1))
            for _ in 0..<5 {
                #expect(try await driver.appendSurely(Sample.forget(1), as: request) == .done)
            }
        }
    }

    @Test(arguments: LogKind.allCases)
    func aRepeatedRequestIsAppliedOnceAcrossLives(kind: LogKind) async throws {
        let harness = try LogHarness(kind, seed: 3)
        let request = try await harness.life { driver in
            let request = driver.makeRequestID()
            _ = try await driver.appendSurely(Sample.join(1))
            #expect(try await driver.appendSurely(Sample.forget(1), as: request) == .done)
            return request
        }
        try await harness.life { driver in
            #expect(try await driver.appendSurely(Sample.forget(1), as: request) == .done)
            let other = try await driver.appendSurely(Sample.forget(1))
            #expect(other == .refused(.unknownPeer(try Sample.peer(1))))
        }
    }

    /// The caller hears nothing, the command is saved, the peer ends: the retry tells.
    @Test(arguments: LogKind.allCases)
    func aCommandSavedWithoutAnAnswerIsFoundByItsRetry(kind: LogKind) async throws {
        let harness = try LogHarness(kind, isFaulty: false)
        let driver = try await harness.open()
        let request = driver.makeRequestID()
        let join = try Sample.join(1)
        let caller = Task { try await driver.append(join, as: request) }
        caller.cancel()
        await #expect(throws: LogError.unknownOutcome(request, cause: "the caller was cancelled")) {
            try await caller.value
        }
        try await harness.running(driver) { driver in
            try await driver.waitUntilApplied(LogIndex(rawValue: 1))
            #expect(try await driver.read { $0.peer(try Sample.peer(1)) } != nil)
        }
        try await harness.life { driver in
            _ = try await driver.appendSurely(Sample.forget(1))
            #expect(try await driver.appendSurely(join, as: request) == .done)
            #expect(try await driver.read { $0.peer(try Sample.peer(1)) } == nil)
        }
    }

    @Test(arguments: LogKind.allCases, [UInt64(11), 12, 13])
    func replayOfTheArchiveGivesTheSameState(kind: LogKind, seed: UInt64) async throws {
        let harness = try LogHarness(kind, seed: seed)
        var digests: [StateDigest] = []
        for life in 0..<3 {
            let digest = try await harness.life { driver in
                try await appendAtOnce(60, salt: UInt8(life), to: driver)
                return try await driver.stateDigest()
            }
            digests.append(digest)
        }
        let store = try StateStore(path: harness.statePath)
        for digest in digests {
            let replayed = try await replayArchive(of: store, through: digest.appliedIndex)
            #expect(replayed.digest() == digest.digest)
        }
        // The engine may have delivered again after the last digest.
        let replayed = try await replayArchive(of: store)
        let saved = try store.loadState()
        #expect(replayed.digest() == saved.digest())
    }

    @Test(arguments: LogKind.allCases)
    func manyCallersAtOnceAreEachAnsweredWithTheirOwnOutcome(kind: LogKind) async throws {
        try await LogHarness(kind, seed: 5).life { driver in
            try await withThrowingTaskGroup(of: Outcome.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        let command = try Sample.join(UInt8(number / 2))
                        return try await driver.appendSurely(command)
                    }
                }
                for try await outcome in group { #expect(outcome == .done) }
            }
            let members = try await driver.read { $0.members.count }
            #expect(members == 50)
        }
    }

    @Test(arguments: LogKind.allCases)
    func aLinearizableReadSeesEveryAnsweredCommand(kind: LogKind) async throws {
        try await LogHarness(kind, seed: 6).life { driver in
            for number in UInt8(1)...20 {
                _ = try await driver.appendSurely(Sample.join(number))
                let peer = try Sample.peer(number)
                #expect(try await driver.read(.linearizable) { $0.peer(peer) } != nil)
            }
            let position = driver.position
            #expect(position.applied == position.newestKnown)
        }
    }

    @Test(arguments: LogKind.allCases)
    func aStoppedPeerAnswersNobody(kind: LogKind) async throws {
        let harness = try LogHarness(kind, isFaulty: false)
        let driver = try await harness.open()
        try await harness.running(driver) { _ = try await $0.append(Sample.join(1)) }
        let closed = LogError.closed(cause: "the daemon is stopping")
        await #expect(throws: closed) { try await driver.append(Sample.join(2)) }
        await #expect(throws: closed) { try await driver.read { $0.appliedIndex } }
        await #expect(throws: closed) {
            try await driver.waitUntilApplied(LogIndex(rawValue: 1 << 40))
        }
    }

    @Test(arguments: LogKind.allCases)
    func aCommandAboveTheLimitIsRefusedBeforeTheLog(kind: LogKind) async throws {
        try await LogHarness(kind).life { driver in
            let request = driver.makeRequestID()
            let text = String(repeating: "x", count: PinsetDriver.commandByteLimit)
            let command = Command.joinPeer(
                PeerJoin(
                    peer: try Sample.peer(1), name: text, storageID: .random(),
                    capacityByteCount: 1))
            let byteCount = command.encoded.count
            let limit = PinsetDriver.commandByteLimit
            await #expect(
                throws: LogError.refused(
                    request, .commandTooLarge(byteCount: byteCount, limit: limit))
            ) {
                try await driver.append(command, as: request)
            }
            #expect(driver.position.applied == .beforeFirst)
        }
    }

    @Test(arguments: LogKind.allCases)
    func aStateOfAnotherHistoryIsRefused(kind: LogKind) async throws {
        let harness = try LogHarness(kind, isFaulty: false)
        let other = SimulatedEngine(seed: 1, isFaulty: false, history: "foreign")
        let foreign = try await PinsetDriver.open(
            path: harness.statePath, log: other.connect(), logger: .silent)
        try await harness.running(foreign) { _ = try await $0.append(Sample.join(1)) }
        let driver = try await harness.open()
        let expected = LogHistory(name: "foreign")
        let found = try await harness.makeLog().history()
        await #expect(throws: LogError.foreignHistory(found: found, expected: expected)) {
            try await driver.run()
        }
    }

    @Test func effectsAreMergedAndNeverLost() async throws {
        try await LogHarness().life { driver in
            var hints = await driver.effects().makeAsyncIterator()
            #expect(await hints.next()?.isIncomplete == true)
            for number in UInt8(1)...5 { _ = try await driver.append(Sample.join(number)) }
            let merged = await hints.next()
            #expect(merged?.effects.contains(.membership) == true)
            #expect(merged?.isIncomplete == false)
        }
    }

    private func appendAtOnce(_ count: Int, salt: UInt8, to driver: PinsetDriver) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                group.addTask {
                    let name = salt &* 31 &+ UInt8(number % 20)
                    let command = try number % 3 == 0 ? Sample.forget(name) : Sample.join(name)
                    _ = try await driver.appendSurely(command)
                }
            }
            try await group.waitForAll()
        }
    }
}
