import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Spill
import Testing

@testable import ClusterCore

/// What is remembered of shards that other peers' uploads bring.
struct ReceivedShardsTests {
    private let fixture: StoreFixture
    private let received: ReceivedShards
    private let upload = UploadID(high: 1, low: 2)
    private let place: ReceivedShards.Place

    init() throws {
        fixture = try StoreFixture()
        received = try ReceivedShards(
            dataDirectory: fixture.directory, store: fixture.store, workers: fixture.workers)
        place = ReceivedShards.Place(upload: upload, number: 3)
    }

    // MARK: Markers

    @Test func aMarkerNamesTheShardFromBeginOn() async throws {
        let shard = try Self.shard("shard")
        _ = try await received.begin(place, shard: shard)
        let bytes = try FileSystem.loadFile(
            directory + "/00000000000000010000000000000002.3")
        #expect(String(decoding: bytes, as: UTF8.self) == "\(shard)\n")
    }

    @Test func theBytesOfAMarkerAreTheseAndAreRead() async throws {
        let (name, text) = (
            "00000000000000010000000000000002.3",
            "bafyreicafgywbvlkawnnmrshbspt2vdnxzolzpktjqufprws3zhayugubu\n"
        )
        let copy = try await install("shard")
        try await received.announce(upload, number: 3, shard: copy.shard)
        #expect(try names == [name])
        #expect(try loadMarker() == text)
        try write(text, to: name)
        #expect(try Restart(of: fixture).received.copy(of: upload, number: 3) == copy)
    }

    @Test func aMarkerIsThereWhenTheShardHasArrived() async throws {
        try await arrive("shard")
        #expect(try names == [place.name])
    }

    @Test func aMarkerIsThereWhenTheShardHasFailed() async throws {
        try await begin("shard")
        received.failed(place)
        #expect(try names == [place.name])
    }

    @Test func aMarkerIsGoneAfterForget() async throws {
        try await arrive("shard")
        _ = try await received.forget(upload)
        #expect(try names.isEmpty)
    }

    @Test func theMarkerOfAFailureIsGoneAfterForget() async throws {
        try await begin("shard")
        received.failed(place)
        _ = try await received.forget(upload)
        #expect(try names.isEmpty)
    }

    @Test(arguments: ["-1", "+1", "01", "", "1.2", "x"])
    func aNumberWeDoNotWriteNamesNoPlace(number: String) {
        #expect(ReceivedShards.Place(parsing: "\(upload).\(number)") == nil)
    }

    // MARK: Begin

    @Test func aSecondBeginIsRefusedWhileTheFirstIsArriving() async throws {
        #expect(try await begin("shard"))
        #expect(try await begin("shard") == false)
    }

    @Test func aRefusedBeginLeavesTheMarkerAlone() async throws {
        try await begin("first")
        try await begin("second")
        #expect(try loadMarker() == "\(Self.shard("first"))\n")
    }

    @Test func aBeginIsAllowedAfterAFailure() async throws {
        try await begin("shard")
        received.failed(place)
        #expect(try await begin("shard"))
    }

    @Test func aBeginIsAllowedAfterAnArrival() async throws {
        try await arrive("shard")
        #expect(try await begin("shard"))
    }

    @Test(arguments: [(2, 4), (3, 3)])
    func anotherPlaceMayBeginMeanwhile(low: UInt64, number: Int) async throws {
        try await begin("shard")
        let other = ReceivedShards.Place(upload: UploadID(high: 1, low: low), number: number)
        #expect(try await received.begin(other, shard: Self.shard("other")))
    }

    @Test func aBeginThatCouldNotBeNotedMayBeTriedAgain() async throws {
        try FileSystem.removeDirectory(directory)
        await #expect(throws: IOError.self) { try await begin("shard") }
        try FileSystem.makeDirectory(directory)
        #expect(try await begin("shard"))
    }

    // MARK: Arrival and end

    @Test func aFirstArrivalHandsBackNothing() async throws {
        try await begin("shard")
        #expect(received.arrived(place, try await install("shard")).isEmpty)
    }

    @Test func aNewerArrivalHandsBackTheOlderCopy() async throws {
        let older = try await arrive("older")
        try await begin("newer")
        #expect(received.arrived(place, try await install("newer")) == [older])
    }

    @Test func anArrivalAfterADropHandsBackTheCopyThatWasDropped() async throws {
        let dropped = try await arrive("shard", generation: 3)
        try await begin("shard")
        #expect(received.arrived(place, try await install("shard", generation: 4)) == [dropped])
    }

    /// Drops are forgotten, and new copies get lower numbers than those that uploads have brought before.
    @Test func anArrivalWithALowerNumberLeavesTheFormerCopyClaimed() async throws {
        let former = try await arrive("shard", generation: 3)
        try await begin("shard")
        let copy = try await install("shard")
        #expect(received.arrived(place, copy).isEmpty)
        #expect(try await Set(received.forget(upload)) == [former, copy])
    }

    @Test func anotherProcessClaimsEveryCopyOfAShardThatItFindsANoteOf() async throws {
        let other = ReceivedShards.Place(upload: UploadID(high: 1, low: 3), number: 0)
        let copies = [
            try await arrive("shard", generation: 3), try await arrive("shard", at: other),
        ]
        let restart = try Restart(of: fixture)
        #expect(copies.allSatisfy(restart.store.isClaimed))
        for copy in try await restart.received.forget(upload) { _ = restart.store.release(copy) }
        #expect(copies.allSatisfy(restart.store.isClaimed))
        #expect(try await Set(restart.received.forget(other.upload)) == Set(copies))
    }

    @Test func aCopyThatIsLeftKeepsTheFormerOnesClaimed() async throws {
        let former = try await arrive("shard")
        let copy = try await install("shard", generation: 3)
        received.adopt(copy, place)
        #expect(received.copy(of: upload, number: 3) == copy)
        #expect(try await Set(received.forget(upload)) == [former, copy])
    }

    @Test func forgetHandsBackTheNewestCopyOfAPlace() async throws {
        try await arrive("older")
        let newer = try await arrive("newer")
        #expect(try await received.forget(upload) == [newer])
    }

    @Test func forgetHandsBackTheCopiesOfAllPlaces() async throws {
        let other = ReceivedShards.Place(upload: upload, number: 4)
        let first = try await arrive("first")
        let second = try await arrive("second", at: other)
        #expect(try await Set(received.forget(upload)) == [first, second])
    }

    @Test func forgetHandsBackNothingForAFailure() async throws {
        try await begin("shard")
        received.failed(place)
        #expect(try await received.forget(upload).isEmpty)
    }

    @Test func aFailureAfterAnArrivalLeavesTheCopyThatArrived() async throws {
        let copy = try await arrive("shard")
        try await begin("shard")
        received.failed(place)
        #expect(try await received.forget(upload) == [copy])
    }

    @Test func aPlaceStillArrivingIsNotForgotten() async throws {
        try await begin("shard")
        _ = try await received.forget(upload)
        #expect(try names == [place.name])
        #expect(received.uploads == [upload])
    }

    @Test func aCopyIsNotHandedBackWhileItsPlaceArrivesAgain() async throws {
        try await arrive("shard")
        try await begin("shard")
        #expect(try await received.forget(upload).isEmpty)
    }

    @Test func aPlaceThatWasStillArrivingIsForgottenOnceItHasArrived() async throws {
        try await begin("shard")
        _ = try await received.forget(upload)
        let copy = try await install("shard")
        _ = received.arrived(place, copy)
        #expect(try await received.forget(upload) == [copy])
    }

    /// A session that goes on with an upload has claimed the copy for itself, and leaves it when it ends.
    @Test func aCopyThatIsLeftTwiceIsClaimedOnce() async throws {
        let copy = try await arrive("shard")
        #expect(fixture.store.claimNewest(of: copy.shard) == copy)
        received.adopt(copy, place)
        for copy in try await received.forget(upload) { _ = fixture.store.release(copy) }
        #expect(!fixture.store.isClaimed(copy))
    }

    @Test func anAnnouncedShardIsFoundByAnotherProcess() async throws {
        let copy = try await install("shard")
        try await received.announce(upload, number: 3, shard: copy.shard)
        let restart = try Restart(of: fixture)
        #expect(restart.received.copy(of: upload, number: 3) == copy)
        #expect(restart.store.isClaimed(copy))
    }

    @Test func whatIsForgottenIsNotHandedBackAgain() async throws {
        try await arrive("shard")
        _ = try await received.forget(upload)
        #expect(try await received.forget(upload).isEmpty)
    }

    @Test func otherUploadsAreNotForgotten() async throws {
        try await arrive("shard")
        #expect(try await received.forget(UploadID(high: 9, low: 9)).isEmpty)
        #expect(received.uploads == [upload])
    }

    @Test func anUploadThatIsForgottenIsKnownNoMore() async throws {
        try await arrive("shard")
        _ = try await received.forget(upload)
        #expect(received.uploads.isEmpty)
    }

    // MARK: Restart

    @Test func aRestartKnowsTheUploadsThatBroughtSomething() async throws {
        try await arrive("shard")
        #expect(try Restart(of: fixture).received.uploads == [upload])
    }

    @Test func whatArrivedIsNotRemovedAfterARestart() async throws {
        let copy = try await arrive("shard")
        let restart = try Restart(of: fixture)
        #expect(restart.store.isClaimed(copy))
        // The first claim of this store is that of the marker.
        try restart.store.removeUnheld(copy, lastClaim: 1)
        #expect(restart.store.copies == [copy])
    }

    @Test func whatArrivedBeforeARestartIsRemovedOnceItIsForgotten() async throws {
        let copy = try await arrive("shard")
        let restart = try Restart(of: fixture)
        #expect(try await restart.received.forget(upload) == [copy])
        let lastClaim = try #require(restart.store.release(copy))
        try restart.store.removeUnheld(copy, lastClaim: lastClaim)
        #expect(restart.store.copies.isEmpty)
        #expect(try names.isEmpty)
    }

    @Test func whatWasInstalledButNotYetNotedIsClaimedAfterARestart() async throws {
        try await begin("shard")
        let copy = try await install("shard")
        #expect(try Restart(of: fixture).store.isClaimed(copy))
    }

    @Test func aShardThatNoMarkerNamesIsNotClaimedAfterARestart() async throws {
        let copy = try await install("shard")
        #expect(try !Restart(of: fixture).store.isClaimed(copy))
    }

    @Test func aRestartForgetsWhatNeverArrived() async throws {
        try await begin("shard")
        let restart = try Restart(of: fixture)
        #expect(try await restart.received.forget(upload).isEmpty)
        #expect(try names.isEmpty)
    }

    @Test func aPlaceThatWasArrivingMayBeginAfterARestart() async throws {
        try await begin("shard")
        let shard = try Self.shard("shard")
        #expect(try await Restart(of: fixture).received.begin(place, shard: shard))
    }

    @Test func anUnfinishedMarkerIsRemovedAtAStart() throws {
        try write("bafy", to: place.name + ".new")
        _ = try Restart(of: fixture)
        #expect(try names.isEmpty)
    }

    @Test(arguments: ["notes.txt", "0123.4", "00000000000000010000000000000002", "lost+found"])
    func aForeignNameStaysAndIsNoUpload(name: String) throws {
        try write("mine", to: name)
        #expect(try Restart(of: fixture).received.uploads.isEmpty)
        #expect(try names == [name])
    }

    @Test(arguments: ["", "\n", "rubbish\n", "bafyrei\n", "\u{0}\u{0}\u{0}"])
    func aMalformedMarkerClaimsNothing(text: String) async throws {
        let copy = try await install("shard")
        try write(text, to: place.name)
        #expect(try !Restart(of: fixture).store.isClaimed(copy))
    }

    @Test func aMarkerThatWasCutClaimsNothing() async throws {
        let copy = try await install("shard")
        let whole = copy.shard.description
        for length in whole.indices {
            try write(String(whole[..<length]), to: place.name)
            #expect(try !Restart(of: fixture).store.isClaimed(copy))
        }
    }

    @Test func aMalformedMarkerGoesWithItsUpload() async throws {
        try write("rubbish", to: place.name)
        _ = try await Restart(of: fixture).received.forget(upload)
        #expect(try names.isEmpty)
    }

    // MARK: Means

    /// The store and what it received as another process finds them in the same directory.
    private struct Restart {
        let store: ShardStore
        let received: ReceivedShards

        init(of fixture: StoreFixture) throws {
            store = try ShardStore(
                dataDirectory: fixture.directory, pool: SegmentPool(spareCount: 2),
                workers: fixture.workers, scratch: MemoryScratch())
            received = try ReceivedShards(
                dataDirectory: fixture.directory, store: store, workers: fixture.workers)
        }
    }

    private var directory: String { fixture.directory + "/received" }

    private var names: [String] {
        get throws {
            try Directory(directory).loadNames().map { String(decoding: $0, as: UTF8.self) }
        }
    }

    private func loadMarker() throws -> String {
        String(decoding: try FileSystem.loadFile(directory + "/" + place.name), as: UTF8.self)
    }

    private func write(_ text: String, to name: String) throws {
        try FileSystem.saveFile(directory + "/" + name, Array(text.utf8))
    }

    /// The shard of one block of this text.
    private static func shard(_ text: String) throws -> CID {
        try ListNode.root(of: [StoreFixture.block(text).cid])
    }

    /// Begins to take the shard of one block of this text.
    @discardableResult
    private func begin(_ text: String) async throws -> Bool {
        try await received.begin(place, shard: Self.shard(text))
    }

    /// Makes and claims the shard of one block of this text.
    private func install(_ text: String, generation: Int = 0) async throws -> ShardCopyID {
        let staged = try await fixture.stage(
            [try StoreFixture.block(text)], upload: UUID().uuidString)
        _ = try fixture.store.install(staged, generation: generation)
        return ShardCopyID(shard: staged.cid, generation: generation)
    }

    @discardableResult
    private func arrive(
        _ text: String, generation: Int = 0, at place: ReceivedShards.Place? = nil
    ) async throws -> ShardCopyID {
        let place = place ?? self.place
        let copy = try await install(text, generation: generation)
        #expect(try await received.begin(place, shard: copy.shard))
        _ = received.arrived(place, copy)
        return copy
    }
}
