import IngestAPI
import Multiformats
import Testing

@testable import ingestd

/// What the daemon puts into the journals of uploads.
struct JournalTests {
    private static let form = """
        {"parser":{"bodyOffset":0,"head":[],"impliedByteCount":2,"matchedByteCount":2,"partCount":0,\
        "phase":0,"skippedByteCount":0},"symlinkTarget":[]}
        """
    private static let archive = #"{"itemOffset":0,"phase":{"headerLength":{}},"position":0}"#

    @Test func anOpeningHasTheseFields() throws {
        let time = WallTime(seconds: 1_763_688_960, nanoseconds: 500_000_000)
        let opening = UploadOpening(
            query: "name=x", filename: "f", boundary: "b", openedAt: time, length: 7)
        let text = """
            {"boundary":"b","filename":"f","length":7,"openedAt":"2025-11-21T01:36:00.5Z",\
            "query":"name=x"}
            """
        #expect(try json(opening) == text)
        let read = try JSONBody.decode(UploadOpening.self, from: Array(text.utf8))
        #expect(read.query == "name=x" && read.filename == "f" && read.boundary == "b")
        #expect(read.openedAt == time && read.length == 7)
    }

    @Test func anOpeningWithoutFormAndLengthHasTheseFields() throws {
        let opening = UploadOpening(query: "", filename: "", openedAt: WallTime(seconds: 0))
        let text = #"{"filename":"","openedAt":"1970-01-01T00:00:00Z","query":""}"#
        #expect(try json(opening) == text)
        let read = try JSONBody.decode(UploadOpening.self, from: Array(text.utf8))
        #expect(read.boundary == nil && read.length == nil)
    }

    @Test func aReadingHasTheseFields() throws {
        let reading = BodyReading(form: UploadReader.State(), length: 7)
        let text = #"{"form":\#(Self.form),"length":7}"#
        #expect(try json(reading) == text)
        let read = try JSONBody.decode(BodyReading.self, from: Array(text.utf8))
        #expect(read.form == UploadReader.State() && read.archive == nil && read.length == 7)
    }

    @Test func aReadingOfAnArchiveHasTheseFields() throws {
        let reading = BodyReading(archive: CARReader.State())
        let text = #"{"archive":\#(Self.archive)}"#
        #expect(try json(reading) == text)
        let read = try JSONBody.decode(BodyReading.self, from: Array(text.utf8))
        #expect(read.form == nil && read.archive == CARReader.State() && read.length == nil)
    }

    @Test func aReadingOfBareBytesHasNone() throws {
        #expect(try json(BodyReading()) == "{}")
        #expect(try JSONBody.decode(BodyReading.self, from: Array("{}".utf8)).length == nil)
    }

    /// With sorted keys; their order is left open.
    private func json(_ value: some Encodable) throws -> String {
        String(decoding: try JSONBody.encode(value), as: UTF8.self)
    }
}
