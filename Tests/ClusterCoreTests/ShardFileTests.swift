import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Spill
import Testing

@testable import ClusterCore

/// Shard files as they are on disk.
struct ShardFileTests {
    private let directory = NSTemporaryDirectory() + "shards-\(UUID().uuidString)"
    private let workers: WorkerPool
    private let store: ShardStore

    init() throws {
        try FileSystem.makeDirectory(directory)
        workers = try WorkerPool(name: "test", threadCount: 2)
        store = try ShardStore(
            dataDirectory: directory, pool: SegmentPool(spareCount: 2), workers: workers,
            scratch: MemoryScratch())
        try store.openCatalogue(readable: [])
    }

    private static func block(_ bytes: [UInt8]) throws -> (CID, [UInt8]) {
        let cid = try bytes.withUnsafeBytes {
            try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, $0)
        }
        return (cid, bytes)
    }

    /// Writes a shard of these blocks to staging.
    private func stage(_ blocks: [(CID, [UInt8])], upload: String = "u") async throws -> StagedShard
    {
        let writer = try await store.makeWriter(upload: upload, number: 0)
        let list = ListNodeBuilder()
        for (cid, bytes) in blocks {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            defer { copy.deallocate() }
            copy.copyBytes(from: bytes)
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            try await writer.append(cid, none, UnsafeRawBufferPointer(copy), none)
            if let leaf = try list.append(cid) { try await writer.append(listNode: leaf) }
        }
        return try await writer.seal(listNodes: list.finish().blocks)
    }

    private func read(_ cid: CID) throws -> [UInt8]? {
        guard let location = try store.locate(cid) else { return nil }
        var bytes = [UInt8](repeating: 0, count: location.byteCount)
        try bytes.withUnsafeMutableBytes { try location.read(into: $0) }
        return bytes
    }

    @Test func theBytesOfATinyShardAreThese() async throws {
        let staged = try await stage([try Self.block(Array("hello".utf8))])
        let bytes = try FileSystem.loadFile(staged.path)
        let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Vectors/tiny-shard.hex")
        let text = bytes.map { String(format: "%02x", $0) }.joined() + "\n"
        if ProcessInfo.processInfo.environment["REWRITE_GOLDEN"] != nil {
            try text.write(to: golden, atomically: true, encoding: .utf8)
        }
        #expect(text == (try String(contentsOf: golden, encoding: .utf8)))
        #expect(staged.fileByteCount == bytes.count)
    }

    /// A long shard takes the way through several segments, with blocks across their borders.
    @Test(arguments: [1, 1000, 300_000, 2_000_000])
    func aShardFileIsTheIndexedArchiveOfItsBlocks(blockByteCount: Int) async throws {
        let count = max(3, 6_000_000 / max(blockByteCount, 4000))
        let blocks = try (0..<count).map { number in
            try Self.block(
                (0..<blockByteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) })
        }
        var seen: Set<CID> = []
        let distinct = blocks.filter { seen.insert($0.0).inserted }
        let staged = try await stage(distinct)
        let list = try ListNode.blocks(for: distinct.map(\.0)).map { ($0.cid, $0.bytes) }
        let expected = CARWriter.indexedArchive(roots: [list.last!.0], blocks: distinct + list)
        #expect(try FileSystem.loadFile(staged.path, byteLimit: 64 << 20) == expected)
        #expect(staged.payloadByteCount == distinct.reduce(0) { $0 + $1.1.count })
    }

    @Test func blocksAreFoundOnceTheirShardIsReadableAndNotAfterItIsRemoved() async throws {
        let (cid, bytes) = try Self.block(Array("block".utf8))
        let staged = try await stage([(cid, bytes)])
        #expect(try store.install(staged, generation: 0) == false)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        #expect(try read(cid) == nil, "the upload is not committed")
        try store.makeReadable([copy])
        #expect(try read(cid) == bytes)
        #expect(try read(staged.cid) != nil, "the list node is a block too")

        let gone = GoneFlag()
        #expect(try store.removeCopies(of: staged.cid, droppedAs: 1) { gone.set() } == false)
        _ = store.release(copy)
        let location = try #require(try store.locate(cid))
        #expect(try store.removeCopies(of: staged.cid, droppedAs: 1) { gone.set() })
        #expect(try read(cid) == nil)
        #expect(!gone.isSet, "a reader still has the file")
        withExtendedLifetime(location) {}
    }

    @Test func aSecondCopyOfOneGenerationIsDroppedAndALaterOneIsAnother() async throws {
        let blocks = [try Self.block(Array("same".utf8))]
        let first = try await stage(blocks, upload: "a")
        let second = try await stage(blocks, upload: "b")
        #expect(first.cid == second.cid)
        #expect(try store.install(first, generation: 0) == false)
        #expect(try store.install(second, generation: 0) == true)
        let renewed = try store.renew(
            ShardCopyID(shard: first.cid, generation: 0), generation: 3)
        #expect(store.copies == [renewed])
        let files = try Directory(directory + "/shards").loadNames()
        #expect(files.count == 1)
    }

    @Test func aCopyNobodyHoldsGoesWithTheLastClaim() async throws {
        let staged = try await stage([try Self.block(Array("orphan".utf8))])
        _ = try store.install(staged, generation: 0)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        let lastClaim = try #require(store.release(copy))
        try store.removeUnheld(copy, lastClaim: lastClaim)
        #expect(store.copies.isEmpty)
        #expect(try Directory(directory + "/shards").loadNames().isEmpty)
    }

    @Test func aCopyThatWasClaimedAgainMeanwhileStays() async throws {
        let blocks = [try Self.block(Array("contested".utf8))]
        let first = try await stage(blocks, upload: "a")
        let second = try await stage(blocks, upload: "b")
        let copy = ShardCopyID(shard: first.cid, generation: 0)
        _ = try store.install(first, generation: 0)
        let lastClaim = try #require(store.release(copy))
        // Between the release and what the state says of the copy, another upload took it over.
        _ = try store.install(second, generation: 0)
        _ = store.release(copy)
        try store.removeUnheld(copy, lastClaim: lastClaim)
        #expect(store.copies == [copy])
    }

    @Test(arguments: [0, 10, 200, 342])
    func aShardFileThatWasCutIsRefusedByName(byteCount: Int) async throws {
        let staged = try await stage([try Self.block(Array("hello".utf8))])
        try FileDescriptor(staged.path, for: .update).truncate(to: byteCount)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        #expect {
            _ = try ShardFile(path: staged.path, copy: copy, serial: 0)
        } throws: { error in
            "\(error)".contains(staged.path)
        }
    }

    @Test func theBytesOfARootRecordAreThese() throws {
        let (root, _) = try Self.block(Array("root".utf8))
        let shard = try ListNode.blocks(for: [root])
        let cluster = try ListNode.blocks(for: shard.map(\.cid))
        let record = RootRecordFile(
            upload: UploadID(high: 1, low: 2), root: root, clusterDAG: cluster.last!.cid,
            name: "golden", clusterNodes: cluster,
            shards: [ShardCopyID(shard: shard.last!.cid, generation: 7)])
        let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Vectors/root-record.hex")
        let text = record.encoded.map { String(format: "%02x", $0) }.joined() + "\n"
        if ProcessInfo.processInfo.environment["REWRITE_GOLDEN"] != nil {
            try text.write(to: golden, atomically: true, encoding: .utf8)
        }
        #expect(text == (try String(contentsOf: golden, encoding: .utf8)))
    }
}

private final class GoneFlag: @unchecked Sendable {
    // Set by whichever thread closes the file, read after that.
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }

    func set() {
        lock.withLock { value = true }
    }
}
