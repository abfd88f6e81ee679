import Importer
import SeededRandom
import Testing

@testable import IngestAPI

struct MultipartWriterTests {
    private func entry(
        _ kind: EntryKind, _ path: String, _ metadata: EntryMetadata = .none
    ) throws -> UploadEntry {
        UploadEntry(
            kind: kind, path: try ImportPath.cleaning(Array(path.utf8)), metadata: metadata)
    }

    /// The bytes on the wire, so that a change of them cannot pass unnoticed: a resumed upload
    /// must be able to write the same ones again.
    @Test func theBodyIsTheseBytes() throws {
        var writer = MultipartWriter(seed: (1, 0xabc))
        var body: [UInt8] = []
        let time = UnixFSTime(seconds: 1_700_000_000, nanoseconds: 5)
        writer.appendHead(
            of: try entry(.directory, "d", EntryMetadata(mode: 0o1755, mtime: time)), to: &body)
        writer.appendHead(of: try entry(.file, "d/ü 1+"), to: &body)
        body += Array("data".utf8)
        writer.appendHead(
            of: try entry(.symlink, "l", EntryMetadata(mode: 0o777, mtime: nil)), to: &body)
        body += Array("d".utf8)
        writer.appendEnd(to: &body)
        let boundary =
            "-------------------------------ingest-00000000000000010000000000000abc"
        let expected = """
            --\(boundary)
            Content-Disposition: form-data; name="file?mode=020004000755&mtime=1700000000&mtime-nsecs=5"; filename="d"
            Content-Type: application/x-directory


            --\(boundary)
            Content-Disposition: form-data; name="file"; filename="d%2F%C3%BC+1%2B"
            Content-Type: application/octet-stream

            data
            --\(boundary)
            Content-Disposition: form-data; name="file?mode=01000000777"; filename="l"
            Content-Type: application/symlink

            d
            --\(boundary)--

            """
        #expect(String(decoding: body, as: UTF8.self) == expected.replacing("\n", with: "\r\n"))
        #expect(writer.contentType == "multipart/form-data; boundary=\(boundary)")
    }

    @Test func aFormOfNothingIsOnlyItsEnd() {
        var writer = MultipartWriter(seed: (0, 0))
        var body: [UInt8] = []
        writer.appendEnd(to: &body)
        #expect(body.count == 2 + 70 + 4)
        #expect(
            MultipartLength(writer: MultipartWriter(seed: (0, 0))).totalByteCount
                == UInt64(body.count))
    }

    /// What the writer writes, the reader reads, and its length was known before.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func theReaderReadsWhatTheWriterWrote(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var writer = MultipartWriter(seed: (random.next(), random.next()))
        var length = MultipartLength(writer: writer)
        var body: [UInt8] = []
        var written: [(UploadEntry, [UInt8])] = []
        for _ in 0..<Int.random(in: 1..<20, using: &random) {
            let entry = try randomEntry(&random)
            let content = entry.kind == .directory ? [] : randomBytes(upTo: 300, &random)
            writer.appendHead(of: entry, to: &body)
            let start = length.add(entry, contentByteCount: UInt64(content.count))
            #expect(start == UInt64(body.count))
            body += content
            written.append((entry, content))
        }
        writer.appendEnd(to: &body)
        #expect(length.totalByteCount == UInt64(body.count))

        let boundary = try MultipartBoundary(contentType: writer.contentType)
        var reader = UploadReader(boundary: boundary)
        var read: [(UploadEntry, [UInt8])] = []
        try body.withUnsafeBytes { bytes in
            var input = bytes
            while let event = try reader.next(&input) {
                switch event {
                case .beginFile(let entry), .directory(let entry): read.append((entry, []))
                case .data(let bytes): read[read.count - 1].1 += bytes
                case .symlink(let entry, let target): read.append((entry, target))
                case .endFile: break
                }
            }
        }
        try reader.finish()
        #expect(read.map(\.0) == written.map(\.0))
        #expect(read.map(\.1) == written.map(\.1))
    }

    private func randomEntry(_ random: inout SeededGenerator) throws -> UploadEntry {
        let names = (0..<Int.random(in: 1..<4, using: &random)).map { _ in
            randomBytes(upTo: 20, &random).map { $0 == 0x2f || $0 == 0 ? 0x2e : $0 } + [0x61]
        }
        let kind = [EntryKind.file, .directory, .symlink].randomElement(using: &random)!
        let mode = Bool.random(using: &random) ? UInt32.random(in: 1...0o7777, using: &random) : nil
        // A mode without a time is read back with the time 1970: Kubo's rule.
        let hasTime = mode != nil || Bool.random(using: &random)
        let mtime = UnixFSTime(
            seconds: Int64(truncatingIfNeeded: random.next()),
            nanoseconds: UInt32.random(in: 0...999_999_999, using: &random))
        return UploadEntry(
            kind: kind, path: try ImportPath(components: names),
            metadata: EntryMetadata(mode: mode, mtime: hasTime ? mtime : nil))
    }

    private func randomBytes(upTo limit: Int, _ random: inout SeededGenerator) -> [UInt8] {
        (0..<Int.random(in: 0..<limit, using: &random)).map { _ in
            UInt8.random(in: .min ... .max, using: &random)
        }
    }
}
