import Foundation
import Multiformats
import Pinset
import Synchronization
import Testing

@testable import ClusterCore

/// The state as a file: out beside a running peer, in where the log or the archive begins too late.
@Suite struct LogSnapshotTests {
    @Test func aSnapshotComesBackAsTheSameState() async throws {
        let harness = try LogHarness()
        let digest = try await harness.life { driver in
            try await fill(driver)
            return try await driver.stateDigest()
        }
        let state = try await snapshot(of: harness)
        #expect(state.digest() == digest.digest)
        #expect(state.appliedIndex == digest.appliedIndex)

        let other = try LogHarness()
        let store = try StateStore(path: other.statePath)
        try store.replace(with: state)
        try store.close()
        try await other.life { driver in
            let imported = try await driver.stateDigest()
            #expect(imported == digest)
            let outcome = try await driver.append(Sample.join(9))
            #expect(outcome == .done)
        }
    }

    @Test func aSnapshotIsTakenBesideARunningPeer() async throws {
        let harness = try LogHarness()
        try await harness.life { driver in
            try await fill(driver)
            let path = harness.directory + "/snapshot"
            let index = try await driver.store.saveSnapshot(to: path)
            let digest = try await driver.stateDigest()
            #expect(index == digest.appliedIndex)
            #expect(try StateSnapshot.load(from: path).digest() == digest.digest)
        }
    }

    @Test func whatComesOfASnapshotThatBreaksOffGoes() async throws {
        let harness = try LogHarness()
        let files = try SnapshotFiles(dataDirectory: harness.directory)
        struct Broken: Error {}
        await #expect(throws: Broken.self) {
            try await files.receive { path in
                try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
                throw Broken()
            }
        }
        let directory = harness.directory + "/snapshots"
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == [])
    }

    @Test func aSnapshotFileThatWasCutIsRefused() async throws {
        let harness = try LogHarness()
        try await harness.life { try await fill($0) }
        _ = try await snapshot(of: harness)
        let path = harness.directory + "/snapshot"
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        for count in [0, 1, whole.count / 2, whole.count - 1] {
            try whole.prefix(count).write(to: URL(fileURLWithPath: path))
            #expect(throws: SnapshotError.self) { try StateSnapshot.load(from: path) }
        }
    }

    @Test func aPeerThatIsBehindATrimGoesOnFromASnapshot() async throws {
        let (harness, late) = (try LogHarness(.etcd), try LogHarness(.etcd))
        try await harness.life { driver in
            try await fill(driver)
            let path = harness.directory + "/snapshot"
            let index = try await driver.store.saveSnapshot(to: path)
            try await driver.trimLog(through: index)
            _ = try await driver.append(Sample.join(7))
            let digest = try await driver.stateDigest()

            let other = try await PinsetDriver.open(
                path: late.statePath, log: harness.makeLog(), logger: .silent)
            let run = Task { try await other.run { try StateSnapshot.load(from: path) } }
            try await other.waitUntilApplied(digest.appliedIndex)
            #expect(try await other.stateDigest() == digest)
            run.cancel()
            try await run.value
        }
    }

    @Test func anArchiveThatBeginsWithASnapshotIsReplayedFromIt() async throws {
        let harness = try LogHarness()
        let files = try SnapshotFiles(dataDirectory: harness.directory)
        let digest = try await harness.life { driver in
            try await fill(driver)
            return try await driver.stateDigest()
        }
        let store = try StateStore(path: harness.statePath)
        try await files.take(of: store)
        try store.replace(with: try store.loadState())
        await #expect(throws: StateReplayError.self) { try await replayArchive(of: store) }
        #expect(try await replayArchive(of: store, from: files).digest() == digest.digest)
        try store.close()
        let later = try await harness.life { driver in
            _ = try await driver.append(Sample.join(8))
            return try await driver.stateDigest()
        }
        let again = try StateStore(path: harness.statePath)
        let reopened = try SnapshotFiles(dataDirectory: harness.directory)
        #expect(try await replayArchive(of: again, from: reopened).digest() == later.digest)
        let audit = try await StateAudit(of: again, snapshots: reopened)
        #expect(audit.commandCount == 1 && audit.digest == later.digest)
        try again.close()
    }

    @Test func theLogKeepsTheNewestCommandsUpToTheirBytes() async throws {
        let harness = try LogHarness()
        try await harness.life { try await fill($0) }
        let store = try StateStore(path: harness.statePath)
        let indices = try await store.archivedEntries(after: .beforeFirst, limit: 10)
        #expect(indices.count == 5)
        #expect(try await store.indexBeforeNewest(5, byteCount: 1 << 20) == nil)
        #expect(try await store.indexBeforeNewest(3, byteCount: 1 << 20) == indices[1].index)
        let newest = indices[4].commandBytes.count
        #expect(try await store.indexBeforeNewest(5, byteCount: newest) == indices[3].index)
        try store.close()
    }

    private func fill(_ driver: PinsetDriver) async throws {
        for number in UInt8(1)...4 { _ = try await driver.append(Sample.join(number)) }
        _ = try await driver.append(Sample.forget(4))
    }

    private func snapshot(of harness: LogHarness) async throws -> PinsetState {
        let path = harness.directory + "/snapshot"
        let store = try StateStore(path: harness.statePath)
        _ = try await store.saveSnapshot(to: path)
        try store.close()
        return try StateSnapshot.load(from: path)
    }
}
