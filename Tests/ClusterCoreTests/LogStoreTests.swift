import Foundation
import GRDB
import Multiformats
import Pinset
import Testing

@testable import ClusterCore

/// The state file: what it refuses, what it survives, what it keeps.
@Suite struct LogStoreTests {
    @Test func everyCommitWaitsForTheDisk() throws {
        let harness = try LogHarness()
        let store = try StateStore(path: harness.statePath)
        let (synchronous, journal) = try store.pool.writeWithoutTransaction { db in
            (
                try Int.fetchOne(db, sql: "PRAGMA synchronous"),
                try String.fetchOne(db, sql: "PRAGMA journal_mode")
            )
        }
        #expect(synchronous == 2)
        #expect(journal == "wal")
    }

    @Test func aNewerFormatIsRefusedByName() throws {
        let harness = try LogHarness()
        try harness.alter("UPDATE meta SET value = 2 WHERE name = 'format'")
        let refusal = StateStoreError.newerFormat(path: harness.statePath, found: 2, known: 1)
        #expect(throws: refusal) { try StateStore(path: harness.statePath) }
        #expect(refusal.description.contains(harness.statePath))
    }

    @Test func aDatabaseOfAnotherProgramIsRefusedAndLeftAlone() throws {
        let harness = try LogHarness()
        let other = try DatabaseQueue(path: harness.statePath)
        try other.write { try $0.execute(sql: "CREATE TABLE things (name TEXT)") }
        #expect(throws: StateStoreError.notAStateFile(path: harness.statePath)) {
            try StateStore(path: harness.statePath)
        }
        let tables = try other.read { db in
            try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema")
        }
        #expect(tables == ["things"])
    }

    @Test func aFileThatIsNoDatabaseIsRefusedAndLeftAlone() throws {
        let harness = try LogHarness()
        let text = String(repeating: "my shopping list\n", count: 500)
        try Data(text.utf8).write(to: URL(fileURLWithPath: harness.statePath))
        #expect(throws: StateStoreError.notAStateFile(path: harness.statePath)) {
            try StateStore(path: harness.statePath)
        }
        #expect(try String(contentsOfFile: harness.statePath, encoding: .utf8) == text)
    }

    @Test func aDamagedFileIsRefused() async throws {
        let harness = try LogHarness()
        try await harness.life { driver in
            for number in UInt8(0)..<200 { _ = try await driver.append(Sample.join(number)) }
        }
        let file = try #require(FileHandle(forUpdatingAtPath: harness.statePath))
        let length = try file.seekToEnd()
        #expect(length > 5 * 4_096, "the last life left its rows in the file itself")
        // Every page but the first three loses its head.
        for page in 3..<(length / 4_096) {
            try file.seek(toOffset: page * 4_096)
            try file.write(contentsOf: Data(repeating: 0xFF, count: 64))
        }
        try file.close()
        #expect {
            try StateStore(path: harness.statePath)
        } throws: { error in
            if case StateStoreError.damaged(harness.statePath, _) = error { true } else { false }
        }
    }

    @Test func anArchiveThatEndsElsewhereThanTheStateIsDamage() async throws {
        let harness = try LogHarness()
        try await harness.life { driver in
            for number in UInt8(0)..<3 { _ = try await driver.append(Sample.join(number)) }
        }
        try harness.alter("DELETE FROM archive WHERE log_index = 3")
        let store = try StateStore(path: harness.statePath)
        #expect {
            try store.loadState()
        } throws: { error in
            if case StateStoreError.damaged(harness.statePath, _) = error { true } else { false }
        }
    }

    /// The command and its state are saved together or not at all, and nobody hears of success.
    @Test func aFailedSaveStopsThePeerAndLosesNothingThatWasAnswered() async throws {
        let harness = try LogHarness()
        let driver = try await harness.open()
        let lost = try await withThrowingTaskGroup(of: RequestID?.self) { group in
            group.addTask {
                await #expect(throws: StateStoreError.self) { try await driver.run() }
                return nil
            }
            #expect(try await driver.append(Sample.join(1)) == .done)
            try harness.alter(
                """
                CREATE TRIGGER fail BEFORE INSERT ON archive
                BEGIN SELECT RAISE(FAIL, 'the disk is gone'); END
                """)
            let request = driver.makeRequestID()
            await #expect {
                try await driver.append(Sample.join(2), as: request)
            } throws: { error in
                guard case LogError.unknownOutcome(request, let cause) = error else { return false }
                return cause.contains("the disk is gone") && cause.contains(harness.statePath)
            }
            try await group.waitForAll()
            return request
        }
        for _ in 0..<2 {
            await #expect {
                try await driver.append(Sample.join(3))
            } throws: { error in
                guard case LogError.closed(let cause) = error else { return false }
                return cause.contains("the disk is gone")
            }
        }
        await #expect(throws: LogError.self) { try await driver.read { $0.members.count } }

        try harness.alter("DROP TRIGGER fail")
        try await harness.life { driver in
            let members = try await driver.read { $0.members.map(\.peer) }
            #expect(members == [try Sample.peer(1)])
            #expect(try await driver.append(Sample.join(2), as: lost) == .done)
            #expect(driver.position.applied == LogIndex(rawValue: 2))
        }
    }

    @Test func trimmingKeepsTheNewestCommandsAndSaysWhatIsGone() async throws {
        let harness = try LogHarness()
        try await harness.life(retention: .newest(50)) { driver in
            for number in 0..<400 { _ = try await driver.append(Sample.join(UInt8(number % 7))) }
        }
        let store = try StateStore(path: harness.statePath)
        let trimmed = try await store.archiveTrimmedThrough()
        let kept = try await store.archivedEntries(after: .beforeFirst, limit: 1_000)
        #expect(kept.first?.index == LogIndex(rawValue: trimmed.rawValue + 1))
        #expect(kept.last?.index == LogIndex(rawValue: 400))
        #expect((50..<151).contains(kept.count))
        await #expect(throws: StateReplayError.trimmed(through: trimmed)) {
            try await replayArchive(of: store)
        }
    }

    /// A change of the format shows here first.
    @Test func theSchemaIsTheOneOfFormatVersion1() throws {
        let harness = try LogHarness()
        let store = try StateStore(path: harness.statePath)
        let schema = try store.pool.read { db in
            try String.fetchAll(db, sql: "SELECT sql FROM sqlite_schema ORDER BY name").map {
                $0.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            }
        }
        #expect(
            schema == [
                "CREATE TABLE archive ( log_index INTEGER PRIMARY KEY NOT NULL, log_time INTEGER "
                    + "NOT NULL, request_id BLOB NOT NULL, command BLOB NOT NULL ) STRICT",
                "CREATE TABLE meta ( name TEXT PRIMARY KEY NOT NULL, value ANY NOT NULL ) STRICT, "
                    + "WITHOUT ROWID",
                "CREATE TABLE state ( kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT "
                    + "NULL, PRIMARY KEY (kind, key) ) STRICT, WITHOUT ROWID",
            ])
        let (application, format) = try store.pool.read { db in
            (
                try Int.fetchOne(db, sql: "PRAGMA application_id"),
                try Int.fetchOne(db, sql: "SELECT value FROM meta WHERE name = 'format'")
            )
        }
        #expect(application == 0x5053_4554)
        #expect(format == 1)
    }
}

extension LogHarness {
    /// Changes the state file behind the peer's back.
    fileprivate func alter(_ sql: String) throws {
        let store = try StateStore(path: statePath)
        try store.pool.write { try $0.execute(sql: sql) }
        try store.close()
    }
}
