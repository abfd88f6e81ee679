import Foundation
import FuzzTargets
import SeededRandom
import Testing

/// Inputs that fuzzing has found worth keeping, and some that are near them, once more.
struct FuzzCorpusTests {
    private static let corpus = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(
            "Fuzzing/Corpus")

    @Test(arguments: FuzzTarget.allCases)
    func everyKeptInputIsReadAsBefore(target: FuzzTarget) throws {
        let folder = Self.corpus.appendingPathComponent(target.rawValue)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(names.count >= 3, "there is next to nothing in \(folder.path)")
        var random = SeededGenerator(seed: 7)
        for name in names.sorted() {
            let bytes = Array(try Data(contentsOf: folder.appendingPathComponent(name)))
            target.run(bytes)
            for _ in 0..<20 where !bytes.isEmpty {
                var other = bytes
                other[Int.random(in: other.indices, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
                if Bool.random(using: &random) {
                    other.removeLast(Int.random(in: 0..<other.count, using: &random))
                }
                target.run(other)
            }
        }
    }
}
