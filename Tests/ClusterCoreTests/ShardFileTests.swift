import Foundation
import Multiformats
import PosixIO
import ShardPlanner
import Testing

@testable import ClusterCore

/// Shard files as they are on disk.
struct ShardFileTests {
    private let fixture: StoreFixture
    private var store: ShardStore { fixture.store }

    init() throws {
        fixture = try StoreFixture()
    }

    @Test func theBytesOfATinyShardAreThese() async throws {
        let staged = try await fixture.stage([try StoreFixture.block("hello")])
        let bytes = try FileSystem.loadFile(staged.path)
        #expect(try GoldenFile.bytes("tiny-shard.hex", bytes) == bytes)
        #expect(staged.fileByteCount == bytes.count)
    }

    /// A long shard takes the way through several segments, with blocks across their borders.
    @Test(arguments: [1, 1000, 300_000, 2_000_000])
    func aShardFileIsTheIndexedArchiveOfItsBlocks(blockByteCount: Int) async throws {
        let count = max(3, 6_000_000 / max(blockByteCount, 4000))
        let blocks = try (0..<count).map { number in
            try StoreFixture.block(
                (0..<blockByteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) })
        }
        var seen: Set<CID> = []
        let distinct = blocks.filter { seen.insert($0.0).inserted }
        let staged = try await fixture.stage(distinct)
        let list = try ListNode.blocks(for: distinct.map(\.0)).map { ($0.cid, $0.bytes) }
        let expected = CARWriter.indexedArchive(roots: [list.last!.0], blocks: distinct + list)
        #expect(try FileSystem.loadFile(staged.path, byteLimit: 64 << 20) == expected)
        #expect(staged.payloadByteCount == distinct.reduce(0) { $0 + $1.1.count })
    }

    /// Units of direct I/O are 4096 bytes long; the first and last of a file are read, too.
    @Test func aReaderGivesAnyBytesOfTheFile() async throws {
        let staged = try await fixture.stage(
            try (0..<3).map { try StoreFixture.block([UInt8](repeating: $0, count: 700_001)) })
        let contents = try FileSystem.loadFile(staged.path, byteLimit: 64 << 20)
        let reader = try staged.open().makeReader()
        let piece = ShardFileReader.pieceByteCount
        let ranges = [
            0..<1, 1..<4095, 4095..<4097, 4096..<8192, 8191..<(8191 + piece), 0..<piece,
            (contents.count - 5000)..<contents.count, (contents.count - 1)..<contents.count,
        ]
        for range in ranges {
            #expect(Array(try reader.read(range)) == Array(contents[range]), "\(range)")
        }
        #expect(throws: IOError.self) { try reader.read(contents.count..<(contents.count + 1)) }
    }

    /// A file that was cut after it was opened.
    @Test func aReaderOfAFileThatEndsEarlyFails() async throws {
        let staged = try await fixture.stage([
            try StoreFixture.block([UInt8](repeating: 7, count: 20_000))
        ])
        let reader = try staged.open().makeReader()
        try FileDescriptor(staged.path, for: .update).truncate(to: 9000)
        #expect(Array(try reader.read(8990..<9000)) == [UInt8](repeating: 7, count: 10))
        let error = try #require(throws: IOError.self) { try reader.read(8990..<9001) }
        #expect(error.description.contains(staged.path))
    }

    /// Another writer goes on from what was durable; what came after it is lost.
    @Test(arguments: [1000, 300_000, 2_000_000], [1, 2, 3])
    func aShardThatAnotherWriterGoesOnWithIsTheSameFile(
        blockByteCount: Int, cutCount: Int
    ) async throws {
        let count = max(5, 6_000_000 / blockByteCount)
        let blocks = try (0..<count).map { number in
            try StoreFixture.block(
                [UInt8](repeating: UInt8(number & 0xFF), count: blockByteCount - 1) + [
                    UInt8(number >> 8)
                ])
        }
        let straight = try await fixture.stage(blocks, upload: "straight")
        let expected = try FileSystem.loadFile(straight.path, byteLimit: 64 << 20)
        let cuts = (1...cutCount).map { $0 * count / (cutCount + 1) }
        var writer = try await store.staging.makeWriter(upload: "u", number: 0)
        var links = ListNodeBuilder()
        for (number, block) in blocks.enumerated() {
            if cuts.contains(number) {
                let rest = try await writer.flush()
                try await fixture.append(blocks[number], to: writer)
                await writer.abandon()
                writer = try await store.staging.makeRepeatingWriter(upload: "u", number: 0)
                links = ListNodeBuilder()
                for (cid, bytes) in blocks[..<number] {
                    try writer.skip(cid, blockByteCount: bytes.count)
                    if let leaf = try links.append(cid) { try writer.skip(listNode: leaf) }
                }
                try await writer.resume(rest: rest)
            }
            try await fixture.append(block, to: writer)
            if let leaf = try links.append(block.cid) { try await writer.append(listNode: leaf) }
        }
        let staged = try await writer.seal(listNodes: links.finish().blocks)
        #expect(try FileSystem.loadFile(staged.path, byteLimit: 64 << 20) == expected)
    }

    @Test func blocksAreFoundOnceTheirShardIsReadableAndNotAfterItIsRemoved() async throws {
        let (cid, bytes) = try StoreFixture.block("block")
        let staged = try await fixture.stage([(cid, bytes)])
        #expect(try store.install(staged, generation: 0) == false)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        #expect(try fixture.read(cid) == nil, "the upload is not committed")
        try store.makeReadable([copy])
        #expect(try fixture.read(cid) == bytes)
        #expect(try fixture.read(staged.cid) != nil, "the list node is a block too")

        let gone = Signal()
        #expect(try store.removeCopies(of: staged.cid, droppedAs: 1) { gone.give() } == false)
        _ = store.release(copy)
        let location = try #require(try store.locate(cid))
        #expect(try store.removeCopies(of: staged.cid, droppedAs: 1) { gone.give() })
        #expect(try fixture.read(cid) == nil)
        #expect(!gone.isGiven, "a reader still has the file")
        withExtendedLifetime(location) {}
    }

    @Test func aCopyThatIsKnownToBeDamagedIsReplacedWhenTheShardComesAgain() async throws {
        let (cid, bytes) = try StoreFixture.block("rots")
        let blocks = [(cid, bytes)]
        let first = try await fixture.stage(blocks, upload: "a")
        _ = try store.install(first, generation: 0)
        try store.makeReadable([ShardCopyID(shard: first.cid, generation: 0)])
        let location = try #require(try store.locate(cid))
        let file = try FileDescriptor(location.file.path, for: .update)
        try file.writeAll([bytes[0] ^ 1], at: location.offset)
        #expect(try fixture.read(cid) != bytes)

        let unnoticed = try await fixture.stage(blocks, upload: "b")
        #expect(try store.install(unnoticed, generation: 0) == true)
        store.noteDamage(at: location)
        let second = try await fixture.stage(blocks, upload: "c")
        #expect(try store.install(second, generation: 0) == false)
        #expect(try fixture.read(cid) == bytes)
        #expect(store.copies.count == 1)
    }

    @Test func aShardThatWasCutHidesNoBlocksOfOthersAndIsReplacedWhenItComesAgain() async throws {
        let (cut, kept) = (try StoreFixture.block("cut"), try StoreFixture.block("kept"))
        for (number, block) in [cut, kept].enumerated() {
            let staged = try await fixture.stage([block], upload: "u\(number)")
            _ = try store.install(staged, generation: 0)
            try store.makeReadable([ShardCopyID(shard: staged.cid, generation: 0)])
        }
        // The next look begins with the shard of this one.
        let location = try #require(try store.locate(cut.cid))
        let end = try FileDescriptor(location.file.path, for: .update)
        try end.truncate(to: 60)
        #expect(try fixture.read(kept.cid) == kept.bytes)
        #expect(throws: (any Error).self) { try store.locate(cut.cid) }
        #expect(try fixture.read(kept.cid) == kept.bytes)
        let again = try await fixture.stage([cut], upload: "again")
        #expect(try store.install(again, generation: 0) == false)
        #expect(try fixture.read(cut.cid) == cut.bytes)
    }

    @Test func anIndexThatPointsAnywhereIsDamageAndNoCrash() async throws {
        let block = try StoreFixture.block("lost")
        let staged = try await fixture.stage([block])
        _ = try store.install(staged, generation: 0)
        try store.makeReadable([ShardCopyID(shard: staged.cid, generation: 0)])
        let path = try #require(try store.locate(block.cid)).file.path
        let file = try FileDescriptor(path, for: .update)
        // The last field of the last row, of one of the shard's two blocks.
        let byteCount = try file.loadByteCount()
        for bytes in [[UInt8](repeating: 0xff, count: 8), [0, 0, 0, 0, 0, 0, 0, 0x7f]] {
            try file.writeAll(bytes, at: byteCount - 8)
            var damage = 0
            for cid in [block.cid, staged.cid] {
                do {
                    _ = try store.locate(cid)
                } catch is ShardFileError {
                    damage += 1
                }
            }
            #expect(damage == 1)
        }
    }

    @Test func aSecondCopyOfOneGenerationIsDroppedAndALaterOneIsAnother() async throws {
        let blocks = [try StoreFixture.block("same")]
        let first = try await fixture.stage(blocks, upload: "a")
        let second = try await fixture.stage(blocks, upload: "b")
        #expect(first.cid == second.cid)
        #expect(try store.install(first, generation: 0) == false)
        #expect(try store.install(second, generation: 0) == true)
        let copy = ShardCopyID(shard: first.cid, generation: 0)
        let other = store.release(copy)
        #expect(other == nil, "two uploads have claimed it")
        let renewed = try store.renew(copy, generation: 3)
        #expect(store.copies == [renewed])
        let files = try Directory(fixture.directory + "/shards").loadNames()
        #expect(files.count == 1)
    }

    @Test func aCopyThatIsRenewedStaysWhileAnotherUploadClaimsIt() async throws {
        let blocks = [try StoreFixture.block("shared")]
        let copy = ShardCopyID(
            shard: try await fixture.stage(blocks, upload: "a").cid, generation: 0)
        _ = try store.install(try await fixture.stage(blocks, upload: "b"), generation: 0)
        _ = store.claimNewest(of: copy.shard)
        let renewed = try store.renew(copy, generation: 3)
        #expect(Set(store.copies) == [copy, renewed])
        #expect(try store.file(of: copy) != nil && store.file(of: renewed) != nil)
        let other = store.release(copy)
        #expect(other == nil, "another upload claims it")
        let lastClaim = try #require(store.release(copy))
        try store.removeUnheld(copy, lastClaim: lastClaim)
        #expect(store.copies == [renewed])
        #expect(try store.file(of: renewed) != nil)
    }

    @Test func aCopyThatIsRenewedWhereTheLaterOneIsHereAlreadyGoesWithItsClaim() async throws {
        let blocks = [try StoreFixture.block("twice")]
        let later = try await fixture.stage(blocks, upload: "a")
        _ = try store.install(later, generation: 3)
        let copy = ShardCopyID(shard: later.cid, generation: 0)
        _ = try store.install(try await fixture.stage(blocks, upload: "b"), generation: 0)
        let renewed = try store.renew(copy, generation: 3)
        let lastClaim = try #require(store.release(copy))
        try store.removeUnheld(copy, lastClaim: lastClaim)
        #expect(store.copies == [renewed])
        #expect(try Directory(fixture.directory + "/shards").loadNames().count == 1)
        let other = store.release(renewed)
        #expect(other == nil, "two uploads have claimed it")
    }

    @Test func aCopyIsNotRenewedAsOneThatIsGoneOrDamaged() async throws {
        let (cid, bytes) = try StoreFixture.block("damaged")
        let later = try await fixture.stage([(cid, bytes)], upload: "a")
        let copy = ShardCopyID(shard: later.cid, generation: 0)
        #expect(throws: ShardStoreError.self) { try store.renew(copy, generation: 3) }
        _ = try store.install(later, generation: 3)
        try store.makeReadable([ShardCopyID(shard: later.cid, generation: 3)])
        store.noteDamage(at: try #require(try store.locate(cid)))
        _ = try store.install(
            try await fixture.stage([(cid, bytes)], upload: "b"), generation: 0)
        #expect(throws: ShardStoreError.self) { try store.renew(copy, generation: 3) }
        let lastClaim = try #require(store.release(copy), "the claim is still one")
        try store.removeUnheld(copy, lastClaim: lastClaim)
    }

    @Test func aCopyNobodyHoldsGoesWithTheLastClaim() async throws {
        let staged = try await fixture.stage([try StoreFixture.block("orphan")])
        _ = try store.install(staged, generation: 0)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        let lastClaim = try #require(store.release(copy))
        try store.removeUnheld(copy, lastClaim: lastClaim)
        #expect(store.copies.isEmpty)
        #expect(try Directory(fixture.directory + "/shards").loadNames().isEmpty)
    }

    @Test func aCopyThatWasClaimedAgainMeanwhileStays() async throws {
        let blocks = [try StoreFixture.block("contested")]
        let first = try await fixture.stage(blocks, upload: "a")
        let second = try await fixture.stage(blocks, upload: "b")
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
        let staged = try await fixture.stage([try StoreFixture.block("hello")])
        try FileDescriptor(staged.path, for: .update).truncate(to: byteCount)
        let copy = ShardCopyID(shard: staged.cid, generation: 0)
        #expect {
            _ = try ShardFile(path: staged.path, copy: copy, serial: 0)
        } throws: { error in
            "\(error)".contains(staged.path)
        }
    }

    @Test func theBytesOfARootRecordAreThese() throws {
        let (root, _) = try StoreFixture.block("root")
        let shard = try ListNode.blocks(for: [root])
        let cluster = try ListNode.blocks(for: shard.map(\.cid))
        let record = RootRecordFile(
            upload: UploadID(high: 1, low: 2), root: root, clusterDAG: cluster.last!.cid,
            name: "golden", clusterNodes: cluster,
            shards: [ShardCopyID(shard: shard.last!.cid, generation: 7)])
        #expect(try GoldenFile.bytes("root-record.hex", record.encoded) == record.encoded)
    }
}
