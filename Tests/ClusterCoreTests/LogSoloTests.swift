import GRDB
import Multiformats
import Pinset
import Synchronization
import Testing

@testable import ClusterCore

/// The queue of a single machine and the transactions it leads to.
@Suite struct LogSoloTests {
    @Test func whatIsQueuedLeavesTogetherInOrder() async throws {
        let log = SoloLog()
        let proposals = try (0..<10).map { try proposal(UInt8($0)) }
        for proposal in proposals { try await log.propose(proposal) }
        let entries = try await log.nextEntries(after: LogIndex(rawValue: 7))
        #expect(entries.map(\.index.rawValue) == Array(8...17))
        #expect(entries.map(\.proposal.requestID) == proposals.map(\.requestID))
        #expect(log.newestKnownIndex == LogIndex(rawValue: 17))
    }

    @Test func aBatchEndsAtItsBounds() async throws {
        var limits = SoloLog.Limits()
        limits.batchCommands = 3
        let log = SoloLog(limits: limits)
        for number in UInt8(0)..<5 { try await log.propose(proposal(number)) }
        #expect(try await log.nextEntries(after: .beforeFirst).count == 3)
        #expect(try await log.nextEntries(after: LogIndex(rawValue: 3)).count == 2)

        limits.batchByteCount = 1
        let small = SoloLog(limits: limits)
        for number in UInt8(0)..<2 { try await small.propose(proposal(number)) }
        #expect(try await small.nextEntries(after: .beforeFirst).count == 1)
    }

    @Test func aFullQueueHoldsItsProposersUntilABatchLeaves() async throws {
        var limits = SoloLog.Limits()
        limits.queuedCommands = 2
        let log = SoloLog(limits: limits)
        let proposals = try (0..<20).map { try proposal(UInt8($0)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for proposal in proposals { group.addTask { try await log.propose(proposal) } }
            var index = LogIndex.beforeFirst
            while index.rawValue < 20 {
                let entries = try await log.nextEntries(after: index)
                #expect(entries.count <= 2)
                index = entries[entries.count - 1].index
            }
            try await group.waitForAll()
        }
    }

    @Test func closingReleasesEveryoneWhoWaits() async throws {
        var limits = SoloLog.Limits()
        limits.queuedCommands = 0
        let log = SoloLog(limits: limits)
        let waiting = try proposal(1)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await #expect(throws: LogError.self) { try await log.propose(waiting) }
            }
            group.addTask {
                await #expect(throws: LogError.self) {
                    try await log.nextEntries(after: .beforeFirst)
                }
            }
            log.close()
        }
        await #expect(throws: LogError.self) { try await log.propose(waiting) }
    }

    /// Group commit: one wait for the disk answers all.
    @Test func aBatchIsOneTransaction() async throws {
        let harness = try LogHarness()
        let log = SoloLog()
        let driver = try await PinsetDriver.open(
            path: harness.statePath, log: log, logger: .silent)
        for number in UInt8(0)..<200 { try await log.propose(proposal(number)) }
        let counter = CommitCounter()
        try await harness.running(driver) { driver in
            // The first transaction of a life records the history it belongs to.
            driver.store.pool.add(transactionObserver: counter, extent: .databaseLifetime)
            try await driver.waitUntilApplied(LogIndex(rawValue: 200))
        }
        #expect(counter.archiveCommits == 1)
    }

    /// Prints what this machine does; the figure of a release build is the one that counts.
    @Test func manyCallersShareTheWaitForTheDisk() async throws {
        let harness = try LogHarness()
        try await harness.life { driver in
            let clock = ContinuousClock()
            let one = try await clock.measure {
                for number in 0..<200 { _ = try await driver.append(Sample.join(UInt8(number))) }
            }
            let many = try await clock.measure {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for caller in UInt8(0)..<64 {
                        group.addTask {
                            for _ in 0..<25 { _ = try await driver.append(Sample.join(caller)) }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            print("appends/s: one caller \(rate(200, one)), 64 callers \(rate(1_600, many))")
            #expect(driver.position.applied == LogIndex(rawValue: 1_800))
        }
    }

    private func rate(_ count: Int, _ duration: Duration) -> Int {
        Int(Double(count) / (duration / .seconds(1)))
    }

    private func proposal(_ number: UInt8) throws -> Proposal {
        let command = try Sample.join(number)
        return Proposal(
            requestID: RequestID(proposerIndex: .beforeFirst, high: 1, low: UInt64(number)),
            time: .zero, command: command, commandBytes: command.encoded)
    }
}

/// Counts transactions that archived commands. Unchecked because GRDB calls it on one queue, and the
/// test reads it after that queue is done.
private final class CommitCounter: TransactionObserver, @unchecked Sendable {
    private(set) var archiveCommits = 0
    private var sawArchive = false

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool {
        eventKind.tableName == "archive"
    }

    func databaseDidChange(with event: DatabaseEvent) { sawArchive = true }

    func databaseDidCommit(_ db: Database) {
        if sawArchive { archiveCommits += 1 }
        sawArchive = false
    }

    func databaseDidRollback(_ db: Database) { sawArchive = false }
}
