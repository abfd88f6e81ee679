import Foundation
import Multiformats
import SeededRandom
import ShardPlanner
import Testing

@testable import Pinset

/// Lasting forms: they cannot change unnoticed, and nothing else is taken for them.
///
/// With `REWRITE_GOLDEN=1` in the environment the golden files are written anew. Do that only
/// together with a new format version, or before anything was ever saved in the old one.
struct WireTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Vectors")

    private func golden(_ name: String, _ actual: String) throws -> String {
        let file = Self.folder.appending(path: name)
        if ProcessInfo.processInfo.environment["REWRITE_GOLDEN"] != nil {
            try actual.write(to: file, atomically: true, encoding: .utf8)
        }
        return try String(contentsOf: file, encoding: .utf8)
    }

    private func snapshot(_ state: PinsetState) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        StateSnapshot.write(state) { lines.append($0) }
        return lines
    }

    @Test func commandsHaveTheirGoldenBytes() throws {
        let lines = WireSamples.commands.map {
            "\($0.name) \(Hexadecimal.text($0.command.encoded))\n"
        }
        #expect(try golden("commands.txt", lines.joined()) == lines.joined())
        for (name, command) in WireSamples.commands {
            #expect(try Command(decoding: command.encoded) == command, "\(name)")
        }
        let numbers = Set(WireSamples.commands.map { $0.command.encoded[2...3] })
        #expect(numbers.count >= 19, "a command has no sample")
    }

    @Test func aSnapshotHasItsGoldenLines() throws {
        let lines = snapshot(WireSamples.state).map { String(decoding: $0, as: UTF8.self) }
        let text = lines.joined(separator: "\n") + "\n"
        #expect(try golden("snapshot.ndjson", text) == text)
        for table in StateTable.allCases {
            #expect(text.contains("{\"table\":\"\(table.name)\""), "no row of \(table)")
        }
    }

    @Test func outcomesAndRefusalsSurviveTheirForm() throws {
        let lines = WireSamples.outcomes.map { "\(Hexadecimal.text($0.wire.encoded))\n" }
        #expect(try golden("outcomes.txt", lines.joined()) == lines.joined())
        for outcome in WireSamples.outcomes {
            #expect(try Outcome(wire: Wire.decode(outcome.wire.encoded)) == outcome)
        }
        let sentences = WireSamples.refusals.map(\.description)
        #expect(Set(sentences).count == sentences.count && sentences.allSatisfy { $0.count > 1 })
    }

    @Test func newerFormatsAreRefusedByName() throws {
        var bytes = Command.unpin(Names.cid("r")).encoded
        bytes[1] = 2
        let error = #expect(throws: WireError.self) { try Command(decoding: bytes) }
        #expect(
            error?.description
                == "command has format version 2, this program reads up to 1; upgrade this peer")

        let lines = snapshot(WireSamples.state)
        let head = Array(#"{"format":"ingestd-state","version":2}"#.utf8)
        #expect(throws: SnapshotError.newerVersion(found: 2, newest: 1)) {
            try StateSnapshot.read([head] + lines.dropFirst())
        }
        var rows: [StateRow] = []
        WireSamples.state.forEachRow { rows.append($0) }
        for (field, what) in [("format", "state"), ("rules", "placement rules")] {
            let newer = try rows.map { row in
                guard row.table == .header, let entries = try Wire.decode(row.value).mapValue else {
                    return row
                }
                let changed = entries.map { entry in
                    entry.key == Array(field.utf8)
                        ? CBOR.Entry(entry.key, .unsigned(9)) : entry
                }
                return StateRow(table: .header, key: row.key, value: CBOR.map(changed).encoded)
            }
            #expect(throws: WireError.newerVersion(what: what, found: 9, newest: 1)) {
                try PinsetState(rows: newer)
            }
        }
    }

    @Test func whatIsNoCommandIsRefused() {
        let unpin = Command.unpin(Names.cid("r")).encoded
        let wrong: [[UInt8]] = [
            [], [0x80], [0x83, 1, 1], [0x83, 1, 0x18, 99, 0xa0], [0x83, 1, 0x18, 32, 0xa0],
            unpin + [0], Array(unpin.dropLast()), [0x82] + unpin[1...],
            CBOR.array([
                .unsigned(1), .unsigned(33), .map([.init("at", .unsigned(1)), .init("x", .null)]),
            ])
            .encoded,
        ]
        for bytes in wrong {
            #expect(throws: WireError.self) { try Command(decoding: bytes) }
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func damagedCommandsAreRefusedOrAreOtherCommands(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var cluster = TestCluster(state: WireSamples.state)
        for _ in 0..<400 {
            for (_, command) in WireSamples.commands {
                var bytes = command.encoded
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let index = bytes.indices.randomElement(using: &random) ?? 0
                    bytes[index] = UInt8.random(in: 0...255, using: &random)
                }
                // Being no command is the usual answer.
                guard let decoded = try? Command(decoding: bytes) else { continue }
                let isSame = decoded.encoded == bytes
                #expect(isSame, "\(decoded) has two forms")
                cluster.run(decoded)
            }
        }
        #expect(cluster.state.checkInvariants() == [])
    }

    @Test func damagedRowsNeverCrash() {
        var rows: [StateRow] = []
        WireSamples.state.forEachRow { rows.append($0) }
        var random = SeededGenerator(seed: 1)
        for _ in 0..<1500 {
            var damaged = rows
            let index = damaged.indices.randomElement(using: &random) ?? 0
            if let byte = damaged[index].value.indices.randomElement(using: &random) {
                damaged[index].value[byte] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) { damaged.remove(at: index) }
            // An error is as good as a state whose checks find the damage.
            if let state = try? PinsetState(rows: damaged) { _ = state.checkInvariants() }
        }
    }

    @Test func snapshotsComeBackWhole() throws {
        let state = WireSamples.state
        let lines = snapshot(state)
        #expect(try StateSnapshot.read(lines).digest() == state.digest())
        let spaced = lines.map {
            Array(String(decoding: $0, as: UTF8.self).replacing(":", with: " : ").utf8)
        }
        #expect(throws: SnapshotError.self, "spaces inside texts are damage") {
            try StateSnapshot.read(spaced)
        }
    }

    @Test func cutAndChangedSnapshotsAreRefused() {
        let lines = snapshot(WireSamples.state)
        for count in 0..<lines.count {
            #expect(throws: SnapshotError.self) { try StateSnapshot.read(lines.prefix(count)) }
        }
        for index in lines.indices.dropLast() {
            var fewer = lines
            fewer.remove(at: index)
            #expect(throws: SnapshotError.self) { try StateSnapshot.read(fewer) }
        }
        var changed = lines
        changed[2] = Array(
            String(decoding: changed[2], as: UTF8.self).replacing("1000", with: "1001").utf8)
        #expect(changed != lines)
        #expect(throws: SnapshotError.self) { try StateSnapshot.read(changed) }
        #expect(throws: SnapshotError.self) { try StateSnapshot.read(lines + [lines[1]]) }
        for line in ["", "{", "[1", "{\"a\":1,\"a\":2}", "\"\\ud800\"", "1.5", "{\"/\":\"x\"}"] {
            #expect(throws: SnapshotError.self) {
                try StateSnapshot.read([lines[0], Array(line.utf8)] + lines[1...])
            }
        }
        let deep = Array(String(repeating: "[", count: 100_000).utf8)
        #expect(throws: SnapshotError.self) { try StateSnapshot.read([deep]) }
    }
}
