import Foundation
import Testing

@testable import Pinset

/// One state has one digest, whatever seeds the process has for its hash tables.
struct DigestTests {
    private static let marker = "digest of the random log: "

    /// A state after many random commands, and its digest in hexadecimal.
    private func digest() -> String {
        var commands = RandomCommands(seed: 99)
        var cluster = TestCluster()
        cluster.join(["a", "b", "c", "d", "e"], capacity: 3000)
        for _ in 0..<600 { cluster.run(commands.next(for: cluster)) }
        return Hexadecimal.text(cluster.state.digest())
    }

    @Test func theDigestIsTheSameInEveryProcess() throws {
        let expected = digest()
        if ProcessInfo.processInfo.environment["PINSET_DIGEST_CHILD"] != nil {
            print(Self.marker + expected)
            return
        }
        #expect(try childDigest(deterministicHashing: true) == expected)
        #expect(try childDigest(deterministicHashing: false) == expected)
        #expect(try childDigest(deterministicHashing: false) == expected)
    }

    /// Runs this test in a process of its own.
    private func childDigest(deterministicHashing: Bool) throws -> String {
        let child = Process()
        child.executableURL = URL(filePath: CommandLine.arguments[0])
        child.arguments = [
            "--testing-library", "swift-testing", "--filter", "theDigestIsTheSameInEveryProcess",
        ]
        var environment = ProcessInfo.processInfo.environment
        environment["PINSET_DIGEST_CHILD"] = "1"
        environment["SWIFT_DETERMINISTIC_HASHING"] = deterministicHashing ? "1" : nil
        child.environment = environment
        let output = Pipe()
        child.standardOutput = output
        try child.run()
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        child.waitUntilExit()
        let line = text.split(separator: "\n").first { $0.contains(Self.marker) }
        return try #require(line.map { String($0.suffix(64)) }, "\(text)")
    }

    @Test func theDigestSeesEveryRow() throws {
        var rows: [StateRow] = []
        WireSamples.state.forEachRow { rows.append($0) }
        let digest = WireSamples.state.digest()
        var seen = 0
        for index in rows.indices where rows[index].table != .header {
            var fewer = rows
            fewer.remove(at: index)
            // A row that others need cannot be left out.
            guard let state = try? PinsetState(rows: fewer) else { continue }
            #expect(state.digest() != digest)
            seen += 1
        }
        #expect(seen > 10)
    }
}
