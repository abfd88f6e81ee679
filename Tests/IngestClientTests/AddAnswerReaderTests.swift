import IngestAPI
import Testing

@testable import IngestClient

struct AddAnswerReaderTests {
    private func read(_ text: String, by count: Int) throws -> AddedOutput {
        var reader = AddAnswerReader(address: "test")
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: count) {
            let piece = Array(bytes[start..<min(start + count, bytes.count)])
            try piece.withUnsafeBytes { try reader.take($0) }
        }
        return try reader.finish()
    }

    @Test(arguments: [1, 3, 1000])
    func theLastLineIsTheRootHoweverItArrives(count: Int) throws {
        let text = "{\"name\":\"a\",\"cid\":\"x\"}\n{\"name\":\"\",\"cid\":\"y\",\"size\":7}\n"
        let root = try read(text, by: count)
        #expect(root.cid == "y")
        #expect(root.size == 7)
    }

    @Test func aLastLineMayLackItsLineFeed() throws {
        #expect(try read("{\"name\":\"a\",\"cid\":\"x\"}", by: 5).cid == "x")
    }

    @Test func anErrorLineIsThrownBeforeTheAnswerEnds() throws {
        let error = ErrorDocument(.noSpace, "full")
        let line = try JSONBody.encode(error) + [0x0A]
        var reader = AddAnswerReader(address: "test")
        #expect(throws: ClientError.refused(error)) {
            try line.withUnsafeBytes { try reader.take($0) }
        }
    }

    @Test func anAnswerWithoutARootIsNoSuccess() {
        #expect(throws: ClientError.self) { try read("\n", by: 1) }
        #expect(throws: ClientError.self) { try read("<html>", by: 10) }
        #expect(throws: ClientError.self) {
            try read(String(repeating: "x", count: 2 << 20), by: 1 << 16)
        }
    }
}

struct ServiceConfigurationTests {
    @Test(arguments: [
        ("http://127.0.0.1:9094", "http://127.0.0.1:9094"),
        ("HTTPS://Host/base//", "https://Host/base"), ("http://[::1]:1/", "http://[::1]:1"),
    ])
    func anAddressLosesItsLastSlashes(text: String, base: String) throws {
        #expect(try ServiceConfiguration(address: text).baseURL == base)
    }

    @Test(arguments: [
        "", "127.0.0.1:9094", "ftp://host", "http://", "http://a b", "http://a?b", "http://ä",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(throws: ClientError.self) { try ServiceConfiguration(address: text) }
    }

    @Test func namesInPathsAreEscapedByteByByte() {
        #expect(escaped(Array("a b+c/%".utf8) + [0xFF]) == "a%20b%2Bc%2F%25%FF")
    }

    @Test(arguments: [
        (ErrorCode.tooFewPeers, false), (.conflict, false), (.unavailable, false),
        (.noSpace, false),
        (.contentChanged, true), (.uploadGone, true), (.badCAR, true), (.uploadNotFound, true),
    ])
    func anUploadEndsByWhatIsWrongWithItAndNotByTheStateOfTheCluster(code: ErrorCode, ends: Bool) {
        #expect(ClientError.refused(ErrorDocument(code, "no")).endsUpload == ends)
    }

    @Test func anErrorKeepsWhatTheServiceAdvises() {
        let document = ErrorDocument(.noSpace, "full", remedy: "remove something")
        #expect("\(ClientError.refused(document))" == "full; remove something")
    }
}
