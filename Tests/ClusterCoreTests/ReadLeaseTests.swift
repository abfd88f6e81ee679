import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Spill
import Synchronization
import Testing

@testable import ClusterCore

/// What a read that is under way keeps, and what it holds back.
final class ReadLeaseTests {
    private let directory = NSTemporaryDirectory() + "leases-\(UUID().uuidString)"
    private let workers: WorkerPool
    private let store: ShardStore
    private let confirmation = Confirmation()

    init() throws {
        try FileSystem.makeDirectory(directory)
        workers = try WorkerPool(name: "test", threadCount: 1)
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

    // MARK: The read

    @Test func aReadThatIsUnderWayFinishesThoughItsShardIsDropped() async throws {
        let copy = try await makeCopy(of: "first", "second")
        let lease = store.beginReading()
        #expect(try read("first") == "first")
        _ = try drop(copy)
        #expect(try read("second") == "second")
        withExtendedLifetime(lease) {}
    }

    @Test func aBlockThatWasFoundCanBeReadThoughItsShardIsGone() async throws {
        let copy = try await makeCopy(of: "block")
        let location = try #require(try locate("block"))
        try #require(try drop(copy))
        #expect(try read(location) == "block")
    }

    @Test func aReadAndItsEndLeaveACopyAloneThatIsNotDropped() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        #expect(try read("block") == "block")
        reads.removeAll()
        #expect(store.copies == [copy])
        #expect(try read("block") == "block")
    }

    // MARK: The removal

    @Test func aDropIsPutOffWhileAReadIsUnderWay() async throws {
        let copy = try await makeCopy(of: "block")
        let lease = store.beginReading()
        #expect(try drop(copy) == false)
        #expect(store.copies == [copy])
        withExtendedLifetime(lease) {}
    }

    @Test func aDropThatWasPutOffIsDoneWhenTheReadHasEnded() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        #expect(try drop(copy) == false)
        reads.removeAll()
        #expect(try drop(copy))
        #expect(try read("block") == nil)
        #expect(try Directory(directory + "/shards").loadNames().isEmpty)
    }

    @Test func aDropWaitsForTheLastOfSeveralReads() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = (0..<3).map { _ in store.beginReading() }
        while !reads.isEmpty {
            #expect(try drop(copy) == false)
            reads.removeLast()
        }
        #expect(try drop(copy))
    }

    @Test func aDropDoesNotWaitForAReadThatBeganAfterIt() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        #expect(try drop(copy) == false)
        let later = store.beginReading()
        reads.removeAll()
        #expect(try drop(copy))
        withExtendedLifetime(later) {}
    }

    @Test func aDropDoesNotWaitForAReadThatHasEnded() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        reads.removeAll()
        #expect(try drop(copy))
    }

    @Test func eachDropWaitsForTheReadsFromBeforeItself() async throws {
        let first = try await makeCopy(of: "first")
        let second = try await makeCopy(of: "second")
        var reads = [store.beginReading()]
        #expect(try drop(first) == false)
        var later = [store.beginReading()]
        #expect(try drop(second) == false)
        reads.removeAll()
        #expect(try drop(first))
        #expect(try drop(second) == false)
        later.removeAll()
        #expect(try drop(second))
    }

    @Test func aDropOfAShardThatIsNotHereWaitsForNoRead() throws {
        let lease = store.beginReading()
        #expect(try drop(ShardCopyID(shard: Self.cid("nowhere"), generation: 0)))
        #expect(confirmation.isGiven)
        withExtendedLifetime(lease) {}
    }

    // MARK: The confirmation

    @Test func aDropThatIsPutOffIsNotConfirmedWhenTheReadEnds() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        #expect(try drop(copy) == false)
        reads.removeAll()
        #expect(!confirmation.isGiven, "the file is still there")
    }

    @Test func aDropThatWasPutOffIsConfirmedWhenItIsDone() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        #expect(try drop(copy) == false)
        reads.removeAll()
        #expect(try drop(copy))
        #expect(confirmation.isGiven)
    }

    @Test func aDropIsConfirmedWhenTheLastReaderOfTheFileIsGone() async throws {
        let copy = try await makeCopy(of: "first", "second")
        var locations = [try locate("first"), try locate("second")]
        #expect(try drop(copy))
        locations.removeLast()
        #expect(!confirmation.isGiven, "a reader still has the file")
        locations.removeAll()
        #expect(confirmation.isGiven)
    }

    // MARK: Trying again

    @Test func whoPutsADropOffIsToldWhenTheReadHasEnded() async throws {
        let copy = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        _ = try drop(copy)
        reads.removeAll()
        #expect(await wasToldOfAnEnd())
    }

    @Test func nobodyIsToldBeforeTheReadHasEnded() async throws {
        let copy = try await makeCopy(of: "block")
        let lease = store.beginReading()
        _ = try drop(copy)
        #expect(await wasToldOfAnEnd() == false)
        withExtendedLifetime(lease) {}
    }

    @Test func nobodyIsToldOfTheEndOfAReadThatNothingWaitsFor() async throws {
        _ = try await makeCopy(of: "block")
        var reads = [store.beginReading()]
        reads.removeAll()
        #expect(await wasToldOfAnEnd() == false)
    }

    @Test func nobodyIsToldOfTheEndOfAReadThatBeganAfterTheDrop() async throws {
        let copy = try await makeCopy(of: "block")
        let lease = store.beginReading()
        _ = try drop(copy)
        var later = [store.beginReading()]
        later.removeAll()
        #expect(await wasToldOfAnEnd() == false)
        withExtendedLifetime(lease) {}
    }

    // MARK: Means

    private static func cid(_ text: String) throws -> CID {
        try Array(text.utf8).withUnsafeBytes {
            try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, $0)
        }
    }

    /// Makes a shard of these blocks that can be read and that no upload claims.
    private func makeCopy(of texts: String...) async throws -> ShardCopyID {
        let staged = try await stage(texts)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        _ = try store.install(staged, generation: copy.generation)
        try store.makeReadable([copy])
        _ = store.release(copy)
        return copy
    }

    private func stage(_ texts: [String]) async throws -> StagedShard {
        let writer = try await store.makeWriter(upload: "u", number: 0)
        let list = ListNodeBuilder()
        for text in texts {
            let bytes = Array(text.utf8)
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            defer { copy.deallocate() }
            copy.copyBytes(from: bytes)
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            let cid = try Self.cid(text)
            try await writer.append(cid, none, UnsafeRawBufferPointer(copy), none)
            if let leaf = try list.append(cid) { try await writer.append(listNode: leaf) }
        }
        return try await writer.seal(listNodes: list.finish().blocks)
    }

    /// Asks for the removal of a copy, as the reconciler does.
    private func drop(_ copy: ShardCopyID) throws -> Bool {
        try store.removeCopies(of: copy.shard, droppedAs: copy.generation + 1) { [confirmation] in
            confirmation.give()
        }
    }

    private func locate(_ text: String) throws -> BlockLocation? {
        try store.locate(Self.cid(text))
    }

    private func read(_ text: String) throws -> String? {
        guard let location = try locate(text) else { return nil }
        return try read(location)
    }

    private func read(_ location: BlockLocation) throws -> String {
        var bytes = [UInt8](repeating: 0, count: location.byteCount)
        try bytes.withUnsafeMutableBytes { try location.read(into: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether it was said that a removal may be tried again. Waits for nothing; ends the stream.
    private func wasToldOfAnEnd() async -> Bool {
        let ends = store.endsOfAwaitedReads
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                // A cancelled stream still gives what it holds, and then ends.
                for await _ in ends { return true }
                return false
            }
            group.cancelAll()
            return await group.next() == true
        }
    }
}

/// Whether the state was told that the space of a drop is free.
private final class Confirmation: Sendable {
    private let given = Mutex(false)

    var isGiven: Bool { given.withLock { $0 } }

    func give() {
        given.withLock { $0 = true }
    }
}
