import Foundation
import Multiformats
import Pinset
import Synchronization
import Testing

@testable import ClusterCore

/// The state as lines: out, in, and what is refused on the way in.
@Suite struct LogExportTests {
    @Test func anExportComesBackAsTheSameState() async throws {
        let harness = try LogHarness()
        let digest = try await harness.life { driver in
            try await fill(driver)
            return try await driver.stateDigest()
        }
        let lines = try await exportLines(harness)
        let state = try read(lines)
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

    @Test func anExportWorksBesideARunningPeer() async throws {
        let harness = try LogHarness()
        try await harness.life { driver in
            try await fill(driver)
            let lines = Lines()
            try await driver.exportState { lines.add($0) }
            let digest = try await driver.stateDigest()
            let exported = try read(lines.all)
            #expect(exported.digest() == digest.digest)
        }
    }

    @Test func aCutOrChangedExportIsRefused() async throws {
        let harness = try LogHarness()
        try await harness.life { try await fill($0) }
        let lines = try await exportLines(harness)
        for missing in lines.indices {
            var cut = lines
            cut.remove(at: missing)
            #expect(throws: StateImportError.self) { try read(cut) }
        }
        #expect(throws: StateImportError.cutShort(lineCount: lines.count - 1)) {
            try read(lines.dropLast())
        }
        #expect(throws: StateImportError.lineAfterEnd(lineNumber: lines.count + 1)) {
            try read(lines + [lines[0]])
        }
        // Another name of a peer, in the same number of bytes.
        let changed = lines.map { line in
            Array(
                String(decoding: line, as: UTF8.self).replacingOccurrences(
                    of: Data("peer 2".utf8).base64EncodedString().prefix(6),
                    with: Data("peer 3".utf8).base64EncodedString().prefix(6)
                ).utf8)
        }
        if changed != lines { #expect(throws: StateImportError.self) { try read(changed) } }
    }

    @Test(arguments: [
        "", "{}", "null", "{\"format\":\"other\",\"version\":1}", "{\"row\":\"peer\"}",
        "{\"format\":\"ingestd-state\"}",
    ])
    func somethingElseIsRefusedAtItsFirstLine(line: String) throws {
        var reader = StateImport()
        #expect {
            try reader.add(Array(line.utf8))
        } throws: { error in
            if case StateImportError.malformed(1, _) = error { true } else { false }
        }
    }

    @Test func aNewerExportIsRefusedByName() throws {
        var reader = StateImport()
        #expect(throws: StateImportError.newerFormat(found: 2, known: 1)) {
            try reader.add(Array(#"{"format":"ingestd-state","version":2}"#.utf8))
        }
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[[UInt8]]>([])
        var all: [[UInt8]] { lines.withLock { $0 } }
        func add(_ line: [UInt8]) { lines.withLock { $0.append(line) } }
    }

    private func fill(_ driver: PinsetDriver) async throws {
        for number in UInt8(1)...4 { _ = try await driver.append(Sample.join(number)) }
        _ = try await driver.append(Sample.forget(4))
    }

    private func exportLines(_ harness: LogHarness) async throws -> [[UInt8]] {
        let lines = Lines()
        let store = try StateStore(path: harness.statePath)
        try await store.exportState { lines.add($0) }
        try store.close()
        return lines.all
    }

    private func read(_ lines: some Sequence<[UInt8]>) throws -> PinsetState {
        var reader = StateImport()
        for line in lines { try reader.add(line) }
        return try reader.finish()
    }
}
