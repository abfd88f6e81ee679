import Foundation
import Multiformats
import ShardPlanner
import Testing

@testable import Pinset

/// The scripts in `Scenarios/`: commands behind ">", what they answer and cause below each.
///
/// With `REWRITE_SCENARIOS=1` in the environment the answers are written anew; commit the
/// difference only if you can explain it.
struct ScenarioTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Scenarios")

    static var names: [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder.path())
                .filter { $0.hasSuffix(".txt") }.sorted()
        } catch {
            fatalError("cannot list \(folder.path()): \(error)")
        }
    }

    @Test(arguments: names)
    func everyAnswerIsAsWritten(name: String) throws {
        let file = Self.folder.appending(path: name)
        let script = try String(contentsOf: file, encoding: .utf8)
        var runner = ScenarioRunner()
        let actual = try runner.run(script)
        if ProcessInfo.processInfo.environment["REWRITE_SCENARIOS"] != nil {
            try actual.write(to: file, atomically: true, encoding: .utf8)
        }
        let pairs = zip(
            script.split(separator: "\n", omittingEmptySubsequences: false),
            actual.split(separator: "\n", omittingEmptySubsequences: false))
        if let (number, pair) = pairs.enumerated().first(where: { $1.0 != $1.1 }) {
            Issue.record("\(name):\(number + 1): expected “\(pair.0)”, got “\(pair.1)”")
        }
        #expect(script == actual)
    }

    @Test func thereAreScenarios() {
        #expect(Self.names.count >= 6)
    }
}
