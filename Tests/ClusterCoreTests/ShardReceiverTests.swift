import Multiformats
import NIOCore
import PosixIO
import ShardPlanner
import Testing

@testable import ClusterCore

/// Shards that one peer sends and another takes.
struct ShardReceiverTests {
    private typealias Block = (cid: CID, bytes: [UInt8])

    private let sender: StoreFixture
    private let taker: StoreFixture

    init() throws {
        sender = try StoreFixture()
        taker = try StoreFixture()
    }

    // MARK: What is taken

    @Test(arguments: [1, 1000, .max])
    func aShardInPiecesOfAnySizeBecomesTheSendersFile(pieceByteCount: Int) async throws {
        let blocks = try [0, 1, 90, 91, 92, 127, 128, 5000].enumerated().map { number, byteCount in
            try StoreFixture.block([UInt8](repeating: UInt8(number), count: byteCount))
        }
        try await expectTheSendersFile(of: blocks, pieceByteCount: pieceByteCount)
    }

    @Test func aShardOfSeveralSegmentsBecomesTheSendersFile() async throws {
        let blocks = try (0..<5).map { number in
            try StoreFixture.block([UInt8](repeating: UInt8(number), count: 2 << 20 - number))
        }
        try await expectTheSendersFile(of: blocks, pieceByteCount: 65_536)
    }

    @Test(arguments: [
        (5983, 1), (5984, 1), (5985, 2), (5986, 2), (2 * 5984 - 1, 2), (2 * 5984, 2),
        (2 * 5984 + 1, 2),
    ])
    func aListOfAnyLengthBecomesTheSendersFile(blockCount: Int, depth: Int) async throws {
        let received = try await expectTheSendersFile(
            of: Self.blocks(blockCount), pieceByteCount: 10_000)
        #expect(received.depth == depth)
    }

    @Test func aShardThatFitsTheReservationExactlyIsTaken() async throws {
        let staged = try await sender.stage(Self.blocks(3))
        let received = try await take(
            Self.archive(Self.blocks(3)), as: staged.cid, blockCount: 3,
            reservedByteCount: staged.fileByteCount)
        #expect(received.cid == staged.cid)
    }

    // MARK: Blocks that are not those of the shard

    /// The last of them is the list node.
    @Test(arguments: 0..<4)
    func aFlippedByteIsRefusedByTheCIDOfItsBlock(number: Int) async throws {
        let original = try Self.sections(Self.blocks(3))
        var sections = original
        sections[number].bytes[0] ^= 1
        let offset = original[..<number].reduce(CARHeader(roots: [original[3].cid]).encoded.count) {
            $0 + CARWriter.sectionByteCount($1.cid, blockByteCount: $1.bytes.count)
        }
        try await expectRefusal(
            .wrongHash(original[number].cid, offset: UInt64(offset)),
            of: Self.archive(sections: sections))
    }

    @Test func blocksInAnotherOrderAreRefused() async throws {
        var sections = try Self.sections(Self.blocks(3))
        let root = sections[3].cid
        sections.swapAt(0, 1)
        try await expectRefusal(
            .listNodeDiffers(
                expected: ListNode.root(of: sections.dropLast().map(\.cid)), found: root),
            of: Self.archive(sections: sections))
    }

    @Test func aListOfTheSameBlocksInAnotherOrderIsRefused() async throws {
        let blocks = try Self.blocks(3)
        let reversed = try Self.sections(blocks.reversed())
        let root = try ListNode.root(of: blocks.map(\.cid))
        try await expectRefusal(
            .differs(expected: root, found: reversed[3].cid),
            of: Self.archive(sections: reversed, roots: [root]), as: root)
    }

    @Test func theArchiveOfAnotherShardIsRefused() async throws {
        let root = try ListNode.root(of: Self.blocks(3).map(\.cid))
        let other = try Self.sections(Self.blocks(3, from: 10))
        try await expectRefusal(
            .differs(expected: root, found: other[3].cid), of: Self.archive(sections: other),
            as: root)
    }

    @Test func anotherRootInTheHeaderIsRefused() async throws {
        let sections = try Self.sections(Self.blocks(3))
        try await expectRefusal(
            .differs(expected: sections[3].cid, found: sections[0].cid),
            of: Self.archive(sections: sections, roots: [sections[0].cid]), as: sections[3].cid)
    }

    @Test(arguments: [0, 2])
    func aHeaderWithoutExactlyOneRootIsRefused(rootCount: Int) async throws {
        let sections = try Self.sections(Self.blocks(3))
        let roots = [CID](repeating: sections[3].cid, count: rootCount)
        try await expectSomeRefusal(of: Self.archive(sections: sections, roots: roots))
    }

    // MARK: Too many, too few, too much

    @Test func anArchiveOfMoreBlocksThanAnnouncedIsRefused() async throws {
        let blocks = try Self.blocks(3)
        try await expectRefusal(
            .listNodeDiffers(
                expected: ListNode.root(of: blocks[..<2].map(\.cid)), found: blocks[2].cid),
            of: Self.archive(blocks), blockCount: 2)
    }

    @Test(arguments: [4, 5, 1000])
    func anArchiveOfFewerBlocksThanAnnouncedIsRefused(blockCount: Int) async throws {
        try await expectSomeRefusal(of: Self.archive(Self.blocks(3)), blockCount: blockCount)
    }

    @Test func aBlockMoreThanTheListNamesIsRefused() async throws {
        var sections = try Self.sections(Self.blocks(3))
        let root = sections[3].cid
        let more = try StoreFixture.block("one more")
        sections.insert(more, at: 3)
        try await expectRefusal(
            .listNodeDiffers(expected: root, found: more.cid), of: Self.archive(sections: sections))
    }

    @Test func aBlockBehindTheListIsRefused() async throws {
        var sections = try Self.sections(Self.blocks(3))
        let root = sections[3].cid
        sections.append(try StoreFixture.block("one more"))
        try await expectRefusal(
            .tooManyBlocks(limit: 3), of: Self.archive(sections: sections, roots: [root]))
    }

    @Test func aBlockThatIsMissingIsRefused() async throws {
        var sections = try Self.sections(Self.blocks(3))
        sections.remove(at: 1)
        try await expectSomeRefusal(of: Self.archive(sections: sections))
    }

    /// Of 5,985 links the list has two leaves and a root, all behind the blocks.
    @Test(arguments: 0..<3)
    func aListNodeThatIsMissingIsRefused(number: Int) async throws {
        var sections = try Self.sections(Self.blocks(5985))
        let root = sections.last!.cid
        sections.remove(at: 5985 + number)
        try await expectSomeRefusal(
            of: Self.archive(sections: sections, roots: [root]), as: root, blockCount: 5985)
    }

    @Test func anArchiveThatIsCutAnywhereIsRefused() async throws {
        let archive = try Self.archive(Self.blocks(3))
        for byteCount in archive.indices {
            try await expectSomeRefusal(of: Array(archive[..<byteCount]), "cut at \(byteCount)")
        }
    }

    @Test func whatIsNoArchiveIsRefused() async throws {
        try await expectSomeRefusal(of: Array("HTTP/1.1 502 Bad Gateway\r\n\r\n".utf8))
    }

    @Test func blocksThatExceedTheReservationAreRefused() async throws {
        try await expectRefusal(
            .largerThanReserved(byteCount: 200), of: Self.archive(Self.blocks(3)),
            reservedByteCount: 200)
    }

    /// The blocks alone would fit.
    @Test(arguments: [3, 5985])
    func listNodesThatExceedTheReservationAreRefused(blockCount: Int) async throws {
        let blocks = try Self.blocks(blockCount)
        let staged = try await sender.stage(blocks)
        let byteCount = staged.fileByteCount - 1
        try await expectRefusal(
            .largerThanReserved(byteCount: byteCount), of: Self.archive(blocks), as: staged.cid,
            blockCount: blockCount, reservedByteCount: byteCount)
    }

    // MARK: Means

    /// Distinct blocks of eight bytes.
    private static func blocks(_ count: Int, from first: Int = 0) throws -> [Block] {
        try (first..<(first + count)).map { number in
            try StoreFixture.block(withUnsafeBytes(of: UInt64(number).bigEndian, Array.init))
        }
    }

    /// What a shard of up to 5,985 blocks consists of, root last.
    private static func sections(_ blocks: [Block]) throws -> [Block] {
        precondition(blocks.count <= ListNode.maximumLinks + 1, "all list nodes come last")
        return blocks + (try ListNode.blocks(for: blocks.map(\.cid)).map { ($0.cid, $0.bytes) })
    }

    private static func archive(_ blocks: [Block]) throws -> [UInt8] {
        archive(sections: try sections(blocks))
    }

    /// - Parameter roots: The last section when `nil`.
    private static func archive(sections: [Block], roots: [CID]? = nil) -> [UInt8] {
        CARWriter.archive(
            roots: roots ?? [sections.last!.cid], blocks: sections.map { ($0.cid, $0.bytes) })
    }

    /// Stages a shard at the sender, sends its payload and compares the files.
    @discardableResult
    private func expectTheSendersFile(
        of blocks: [Block], pieceByteCount: Int
    ) async throws -> StagedShard {
        let staged = try await sender.stage(blocks)
        let range = try staged.open().payloadRange
        let payload = try FileDescriptor(staged.path, for: .read)
            .readAll(count: range.count, at: range.lowerBound)
        let received = try await take(
            payload, as: staged.cid, blockCount: blocks.count,
            reservedByteCount: staged.fileByteCount, pieceByteCount: pieceByteCount)
        let limit = 64 << 20
        #expect(
            try FileSystem.loadFile(received.path, byteLimit: limit)
                == FileSystem.loadFile(staged.path, byteLimit: limit))
        return received
    }

    /// Feeds an archive to a receiver of its own.
    private func take(
        _ archive: [UInt8], as shard: CID, blockCount: Int, reservedByteCount: Int,
        pieceByteCount: Int = .max
    ) async throws -> StagedShard {
        try taker.store.staging.remove(upload: "u", number: 0)
        let writer = try await taker.store.staging.makeWriter(upload: "u", number: 0)
        writer.reservedByteCount = reservedByteCount
        let receiver = ShardReceiver(
            shard: shard, blockCount: blockCount, writer: writer, workers: taker.workers)
        do {
            var rest = archive[...]
            while !rest.isEmpty {
                try await receiver.take(ByteBuffer(bytes: rest.prefix(pieceByteCount)))
                rest = rest.dropFirst(pieceByteCount)
            }
            return try await receiver.finish()
        } catch {
            await receiver.abandon()
            throw error
        }
    }

    /// - Parameter shard: That of the first three blocks when `nil`.
    private func refusal(
        of archive: [UInt8], as shard: CID?, blockCount: Int, reservedByteCount: Int,
        _ comment: Comment?, _ sourceLocation: SourceLocation
    ) async throws -> ShardReceiveError? {
        let expected = try shard ?? ListNode.root(of: Self.blocks(3).map(\.cid))
        return await #expect(
            throws: ShardReceiveError.self, comment, sourceLocation: sourceLocation
        ) {
            try await take(
                archive, as: expected, blockCount: blockCount,
                reservedByteCount: reservedByteCount)
        }
    }

    private func expectSomeRefusal(
        of archive: [UInt8], as shard: CID? = nil, blockCount: Int = 3,
        _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        _ = try await refusal(
            of: archive, as: shard, blockCount: blockCount, reservedByteCount: 1 << 20, comment,
            sourceLocation)
    }

    private func expectRefusal(
        _ expected: ShardReceiveError, of archive: [UInt8], as shard: CID? = nil,
        blockCount: Int = 3, reservedByteCount: Int = 1 << 20,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let refusal = try await refusal(
            of: archive, as: shard, blockCount: blockCount, reservedByteCount: reservedByteCount,
            nil, sourceLocation)
        #expect(refusal?.description == expected.description, sourceLocation: sourceLocation)
    }
}
