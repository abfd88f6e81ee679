import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Testing

@testable import ClusterCore

/// What a read that is under way keeps, and what it holds back.
struct ReadLeaseTests {
    private let fixture: StoreFixture
    private let confirmation = Signal()

    init() throws {
        fixture = try StoreFixture()
    }

    private var store: ShardStore { fixture.store }

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
        try putOff(copy)
        #expect(try drop(copy))
        #expect(try read("block") == nil)
        #expect(try Directory(fixture.directory + "/shards").loadNames().isEmpty)
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
        #expect(try drop(ShardCopyID(shard: StoreFixture.block("nowhere").cid, generation: 0)))
        #expect(confirmation.isGiven)
        withExtendedLifetime(lease) {}
    }

    // MARK: The confirmation

    @Test func aDropThatIsPutOffIsNotConfirmedWhenTheReadEnds() async throws {
        let copy = try await makeCopy(of: "block")
        try putOff(copy)
        #expect(!confirmation.isGiven, "the file is still there")
    }

    @Test func aDropThatWasPutOffIsConfirmedWhenItIsDone() async throws {
        let copy = try await makeCopy(of: "block")
        try putOff(copy)
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
        try putOff(copy)
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

    /// Makes a shard of these blocks that can be read and that no upload claims.
    private func makeCopy(of texts: String...) async throws -> ShardCopyID {
        let staged = try await fixture.stage(texts.map { try StoreFixture.block($0) })
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        _ = try store.install(staged, generation: copy.generation)
        try store.makeReadable([copy])
        _ = store.release(copy)
        return copy
    }

    /// Asks for the removal of a copy during a read, so that it is put off, and ends the read.
    private func putOff(_ copy: ShardCopyID) throws {
        let lease = store.beginReading()
        #expect(try drop(copy) == false)
        withExtendedLifetime(lease) {}
    }

    /// Asks for the removal of a copy, as the reconciler does.
    private func drop(_ copy: ShardCopyID) throws -> Bool {
        try store.removeCopies(of: copy.shard, droppedAs: copy.generation + 1) { [confirmation] in
            confirmation.give()
        }
    }

    private func locate(_ text: String) throws -> BlockLocation? {
        try store.locate(StoreFixture.block(text).cid)
    }

    private func read(_ text: String) throws -> String? {
        try locate(text).map(read)
    }

    private func read(_ location: BlockLocation) throws -> String {
        String(decoding: try StoreFixture.read(location), as: UTF8.self)
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
