import ImportPipeline
import Importer
import Multiformats
import PosixIO
import ShardPlanner
import Spill
import Testing

@testable import ingest_cli

struct PlanSinkTests {
    private func put(_ text: String, into sink: PlanSink) throws -> CID {
        try Array(text.utf8).withUnsafeBytes { bytes in
            let cid = try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, bytes)
            try sink.put(cid, BlockBytes(payload: bytes))
            return cid
        }
    }

    @Test func blocksArePackedOnceAndInOrder() throws {
        let sink = PlanSink(shardLimit: 10, scratch: MemoryScratch())
        let root = try put("12345", into: sink)
        _ = try put("12345", into: sink)
        _ = try put("abcd", into: sink)
        _ = try put("x", into: sink)
        let plan = try sink.finish(root: root)
        #expect(plan.shards.map(\.blockCount) == [2, 1])
        #expect(plan.shards.map(\.payloadByteCount) == [9, 1])
        #expect(plan.shards.map(\.number) == [0, 1])
    }

    /// The length of what the CAR writer makes of the same blocks.
    @Test func theFileIsAsLongAsTheArchiveWillBe() throws {
        let sink = PlanSink(shardLimit: nil, scratch: MemoryScratch())
        let texts = (0..<50).map { "block \($0)" }
        var blocks: [(CID, [UInt8])] = []
        for text in texts { blocks.append((try put(text, into: sink), Array(text.utf8))) }
        let plan = try sink.finish(root: blocks[0].0)
        let list = try ListNode.blocks(for: blocks.map(\.0)).map { ($0.cid, $0.bytes) }
        let archive = CARWriter.indexedArchive(roots: [list.last!.0], blocks: blocks + list)
        #expect(plan.shards.map(\.fileByteCount) == [archive.count])
        #expect(plan.shards.map(\.cid) == [list.last!.0])
    }

    @Test func anEntrysLineIsItsCIDAndItsBytes() throws {
        let cid = try CID("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
        let entry = ImportedEntry(
            path: [0x61, 0xFF], cid: cid, cumulativeByteCount: 7, fileByteCount: 7, kind: .file)
        #expect(
            EntryLog.line(entry, .full) == Array("added \(cid) a".utf8) + [0xFF, 0x0A])
        #expect(EntryLog.line(entry, .quiet) == Array("\(cid)\n".utf8))
        #expect(
            String(decoding: EntryLog.line(entry, .json), as: UTF8.self)
                == "{\"name\":\"a\u{FFFD}\",\"cid\":\"\(cid)\",\"size\":7}\n")
    }
}
