import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Spill
import Synchronization

@testable import ClusterCore

/// A data directory with the threads and the shard store that work on it; gone with the last reference.
final class StoreFixture: Sendable {
    let directory = NSTemporaryDirectory() + "store-\(UUID().uuidString)"
    let workers: WorkerPool
    let store: ShardStore

    init() throws {
        try FileSystem.makeDirectory(directory)
        workers = try WorkerPool(name: "test", threadCount: 2)
        store = try ShardStore(
            dataDirectory: directory, pool: SegmentPool(spareCount: 2), workers: workers,
            scratch: MemoryScratch())
        try store.openCatalogue(readable: [])
    }

    deinit {
        workers.shutDown()
        // Left-overs in the temporary directory fail no test.
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// A block of its own raw bytes.
    static func block(_ bytes: [UInt8]) throws -> (cid: CID, bytes: [UInt8]) {
        let cid = try bytes.withUnsafeBytes {
            try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, $0)
        }
        return (cid, bytes)
    }

    static func block(_ text: String) throws -> (cid: CID, bytes: [UInt8]) {
        try block(Array(text.utf8))
    }

    /// Writes a shard of these blocks to staging.
    func stage(
        _ blocks: [(cid: CID, bytes: [UInt8])], upload: String = "u"
    ) async throws -> StagedShard {
        let writer = try await store.staging.makeWriter(upload: upload, number: 0)
        let list = ListNodeBuilder()
        for (cid, bytes) in blocks {
            try await append((cid, bytes), to: writer)
            if let leaf = try list.append(cid) { try await writer.append(listNode: leaf) }
        }
        return try await writer.seal(listNodes: list.finish().blocks)
    }

    func append(_ block: (cid: CID, bytes: [UInt8]), to writer: ShardWriter) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(
            byteCount: block.bytes.count, alignment: 8)
        defer { copy.deallocate() }
        copy.copyBytes(from: block.bytes)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        try await writer.append(block.cid, none, UnsafeRawBufferPointer(copy), none)
    }

    /// The bytes of a block, if it can be found.
    func read(_ cid: CID) throws -> [UInt8]? {
        try store.locate(cid).map(Self.read)
    }

    static func read(_ location: BlockLocation) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: location.byteCount)
        try bytes.withUnsafeMutableBytes { try location.read(into: $0) }
        return bytes
    }
}

/// Whether something was said; any thread may say it.
final class Signal: Sendable {
    private let given = Mutex(false)

    var isGiven: Bool { given.withLock { $0 } }

    func give() {
        given.withLock { $0 = true }
    }
}
