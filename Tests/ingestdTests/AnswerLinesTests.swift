import Importer
import Multiformats
import Spill
import Testing

@testable import ingestd

/// What of an answer waits in memory, and what elsewhere.
struct AnswerLinesTests {
    /// A file that is memory all the same.
    private final class Memory: ScratchSpace {
        final class File: ScratchFile {
            private var bytes: [UInt8] = []
            var byteCount: UInt64 { UInt64(bytes.count) }

            func append(_ more: UnsafeRawBufferPointer) -> UInt64 {
                defer { bytes += more }
                return byteCount
            }

            func read(at offset: UInt64, into space: UnsafeMutableRawBufferPointer) {
                space.copyBytes(from: bytes[Int(offset)..<Int(offset) + space.count])
            }
        }

        func makeFile() -> any ScratchFile { File() }
    }

    private let cid: CID

    init() throws { cid = try CID("bafkqaaa") }

    private func entry(_ number: Int, pathByteCount: Int) -> ImportedEntry {
        ImportedEntry(
            path: Array("\(number)/".utf8) + [UInt8](repeating: 97, count: pathByteCount), cid: cid,
            cumulativeByteCount: 1, fileByteCount: 1, kind: .file)
    }

    @Test(arguments: [true, false])
    func manyLinesAtOnceComeInPartsAndAreWhole(streams: Bool) throws {
        let lines = AnswerLines(dialect: .cluster, streams: streams, scratch: Memory())
        let one = AnswerLines(dialect: .cluster, streams: streams, scratch: Memory())
        var wanted: [UInt8] = []
        for number in 0..<700 {
            let entry = entry(number, pathByteCount: 10_000)
            try lines.add(entry, allocations: [])
            // Whoever takes each at once never has many.
            try one.add(entry, allocations: [])
            #expect(!one.isLong)
            wanted += try one.takeReady().readableBytesView
        }
        lines.closeWith(entry(700, pathByteCount: 1))
        one.closeWith(entry(700, pathByteCount: 1))
        wanted += try one.takeReady().readableBytesView
        #expect(lines.isReady && lines.isLong)
        var found: [UInt8] = []
        while lines.isLong {
            let part = try lines.takeReady()
            #expect(part.readableBytes <= 1 << 20)
            found += part.readableBytesView
        }
        let last = try lines.takeReady()
        #expect(last.readableBytes < 2 << 20)
        found += last.readableBytesView
        #expect(found == wanted)
    }
}
