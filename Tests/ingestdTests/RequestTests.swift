import HTTPTypes
import IngestAPI
import Testing

@testable import ingestd

/// How requests are taken apart.
struct RequestTests {
    @Test func pathsAreSplitAndDecodedAsBytes() throws {
        let target = try RequestTarget("/ipfs//Qm1/a%20b/%FF?x=1&y=%2F")
        #expect(target.path == [Array("ipfs".utf8), Array("Qm1".utf8), Array("a b".utf8), [0xFF]])
        #expect(target.query == "x=1&y=%2F")
    }

    @Test(arguments: ["id", "/%zz", "/a%00b", "/../x", "/ui/%2e%2e/x", "/%2", "*"])
    func pathsThatCannotBeMeantAreRefused(target: String) {
        #expect(throws: RequestTarget.Malformation.self) { try RequestTarget(target) }
    }

    @Test func aPathWithAnotherMethodNamesThoseItHas() {
        let match = Route.match(.put, [Array("pins".utf8), Array("x".utf8)])
        #expect(match.route == nil)
        #expect(Set(match.allowedMethods) == [.get, .head, .post, .delete])
        #expect(Route.match(.get, [Array("nowhere".utf8)]).allowedMethods.isEmpty)
    }

    @Test(arguments: [
        ("bytes=0-0", 0..<1), ("bytes=5-", 5..<10), ("bytes=-3", 7..<10), ("bytes=2-100", 2..<10),
        ("bytes=-100", 0..<10), ("bytes=2-9223372036854775807", 2..<10),
    ])
    func oneRangeIsServed(field: String, expected: Range<Int>) throws {
        let selection = try RangeSelection(field, byteCount: 10)
        #expect(selection.range == expected)
        #expect(selection.status == .partialContent)
    }

    @Test(arguments: [nil, "bytes=a-b", "items=0-1", "bytes=0-1,4-5", "bytes=5-2x"])
    func whatIsNotOneRangeMeansEverything(field: String?) throws {
        let selection = try RangeSelection(field, byteCount: 10)
        #expect(selection.range == 0..<10)
        #expect(selection.status == .ok)
    }

    @Test(arguments: ["bytes=10-", "bytes=11-12", "bytes=-0", "bytes=5-3"])
    func rangesOutsideTheFileAreRefused(field: String) {
        #expect(throws: Problem.self) { try RangeSelection(field, byteCount: 10) }
    }

    @Test func entityTagsAreComparedWeakly() {
        #expect(ContentQuery.matches("W/\"a\"", "\"b\", \"a\""))
        #expect(ContentQuery.matches("\"a\"", "W/\"a\""))
        #expect(ContentQuery.matches("\"a\"", "*"))
        #expect(!ContentQuery.matches("\"a\"", "\"ab\""))
    }

    @Test func anUnknownListParameterNamesTheNearest() {
        var query = ListQuery(types: [], limit: 10)
        #expect {
            try query.read([QueryItem(name: "filtre", value: "all")])
        } throws: { error in
            "\(error)".contains("filter")
        }
    }
}
