import Chunker
import Testing

@Suite struct ChunkerSpecTests {
    @Test(arguments: [
        ("", ChunkerSpec.Kind.size(262_144)),
        ("default", .size(262_144)),
        ("size-1", .size(1)),
        ("size-1048576", .size(1_048_576)),
        ("size-2096896", .size(2_096_896)),
        ("rabin", .rabin(minimum: 87381, average: 262_144, maximum: 393_216)),
        ("rabin-1000", .rabin(minimum: 333, average: 1000, maximum: 1500)),
        ("rabin-1", .rabin(minimum: 0, average: 1, maximum: 1)),
        ("rabin-1397931", .rabin(minimum: 465_977, average: 1_397_931, maximum: 2_096_896)),
        ("rabin-16-17-18", .rabin(minimum: 16, average: 17, maximum: 18)),
        (
            "rabin-2096894-2096895-2096896",
            .rabin(minimum: 2_096_894, average: 2_096_895, maximum: 2_096_896)
        ),
        ("rabin-min:64-avg:256-max:1024", .rabin(minimum: 64, average: 256, maximum: 1024)),
        ("rabin-64-avg:256-1024", .rabin(minimum: 64, average: 256, maximum: 1024)),
        ("buzhash", .buzhash),
    ])
    func everyAllowedFormParses(text: String, kind: ChunkerSpec.Kind) throws {
        #expect(try ChunkerSpec(parsing: text).kind == kind)
    }

    @Test(arguments: [
        "size-262144", "size-1", "rabin", "rabin-30", "rabin-1397931", "rabin-16-32-64",
        "rabin-87381-262144-393217", "buzhash",
    ])
    func descriptionParsesBackToTheSameSpec(text: String) throws {
        let spec = try ChunkerSpec(parsing: text)
        #expect(try ChunkerSpec(parsing: spec.description) == spec)
    }

    @Test(arguments: [
        ("bogus", ChunkerSpecError.unknownChunker(given: "bogus")),
        ("Size-1", .unknownChunker(given: "Size-1")),
        ("buzhash-1", .unknownChunker(given: "buzhash-1")),
        (" size-1", .unknownChunker(given: " size-1")),
        ("default-1", .unknownChunker(given: "default-1")),
        ("-", .unknownChunker(given: "-")),
        ("rabin2-5", .unknownChunker(given: "rabin2-5")),
        ("size", .malformed(given: "size", form: "size-N")),
        ("size-", .malformed(given: "size-", form: "size-N")),
        ("size--1", .malformed(given: "size--1", form: "size-N")),
        ("size-abc", .malformed(given: "size-abc", form: "size-N")),
        ("size-+5", .malformed(given: "size-+5", form: "size-N")),
        ("size-5 ", .malformed(given: "size-5 ", form: "size-N")),
        ("size-5-6", .malformed(given: "size-5-6", form: "size-N")),
        ("size-\u{0665}", .malformed(given: "size-\u{0665}", form: "size-N")),
        ("size-1e6", .malformed(given: "size-1e6", form: "size-N")),
        (
            "rabin-1-2",
            .malformed(given: "rabin-1-2", form: "rabin, rabin-AVG or rabin-MIN-AVG-MAX")
        ),
        (
            "rabin-1-2-3-4",
            .malformed(given: "rabin-1-2-3-4", form: "rabin, rabin-AVG or rabin-MIN-AVG-MAX")
        ),
        ("rabin-", .malformed(given: "rabin-", form: "rabin-AVG")),
        ("rabin-a-b-c", .malformed(given: "rabin-a-b-c", form: "rabin-MIN-AVG-MAX")),
        (
            "rabin-max:64-avg:256-min:1024",
            .malformed(given: "rabin-max:64-avg:256-min:1024", form: "rabin-MIN-AVG-MAX")
        ),
        (
            "rabin-100-50-10",
            .notAscending(given: "rabin-100-50-10", minimum: 100, average: 50, maximum: 10)
        ),
        (
            "rabin-16-16-18",
            .notAscending(given: "rabin-16-16-18", minimum: 16, average: 16, maximum: 18)
        ),
        (
            "rabin-16-18-18",
            .notAscending(given: "rabin-16-18-18", minimum: 16, average: 18, maximum: 18)
        ),
    ])
    func everythingElseIsRefusedWithItsReason(text: String, reason: ChunkerSpecError) {
        #expect(throws: reason) { try ChunkerSpec(parsing: text) }
    }

    @Test(arguments: [
        ("size-0", "N", 1...2_096_896), ("size-2096897", "N", 1...2_096_896),
        ("size-3000000", "N", 1...2_096_896),
        ("size-99999999999999999999", "N", 1...2_096_896),
        ("rabin-0", "AVG", 1...1_397_931), ("rabin-1397932", "AVG", 1...1_397_931),
        ("rabin-99999999999", "AVG", 1...1_397_931),
        ("rabin-8-16-32", "MIN", 16...2_096_896), ("rabin-15-32-64", "MIN", 16...2_096_896),
        ("rabin-16-32-2096897", "MAX", 1...2_096_896),
        ("rabin-16-99999999999999999999-64", "AVG", 1...2_096_896),
    ])
    func sizesOutsideTheirRangeAreRefusedWithTheRange(
        text: String, name: String, allowed: ClosedRange<Int>
    ) {
        let error = #expect(throws: ChunkerSpecError.self) { try ChunkerSpec(parsing: text) }
        guard case .outOfRange(let given, let part, _, let range) = error else {
            Issue.record("\(text) gave \(String(describing: error))")
            return
        }
        #expect(given == text)
        #expect(part == name)
        #expect(range == allowed)
    }

    @Test func messagesNameWhatWasGivenAndWhatIsAllowed() {
        #expect(
            message(of: "size-3000000")
                == #"chunker "size-3000000": N of size-N is a number of bytes from 1 to 2096896"#)
        #expect(
            message(of: "rabin-100-50-10")
                == """
                chunker "rabin-100-50-10": rabin-MIN-AVG-MAX needs MIN < AVG < MAX, got 100, 50 and 10
                """)
        #expect(message(of: "bogus").contains("use size-N, rabin, rabin-AVG, rabin-MIN-AVG-MAX"))
        #expect(message(of: "size-" + String(repeating: "9", count: 100_000)).utf8.count < 200)
    }

    private func message(of text: String) -> String {
        do {
            return try ChunkerSpec(parsing: text).description
        } catch {
            return error.description
        }
    }
}
