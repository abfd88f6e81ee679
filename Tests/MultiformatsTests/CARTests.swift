import Foundation
import Multiformats
import SeededRandom
import Testing

/// One entry of car-files.json: a file of another program, and what is in it.
struct CARFile: Decodable, CustomTestStringConvertible, Sendable {
    struct Block: Decodable, Sendable {
        let cid: String
        let byteCount: Int
        /// Of the section's length, from the start of the CARv1.
        let offset: Int

        init(from decoder: any Decoder) throws {
            var fields = try decoder.unkeyedContainer()
            cid = try fields.decode(String.self)
            byteCount = try fields.decode(Int.self)
            offset = try fields.decode(Int.self)
        }
    }

    let file: String
    let valid: Bool
    let version: Int?
    let roots: [String]?
    let nBlocks: Int?
    let blocks: [Block]?
    let dataOffset: Int?
    let dataSize: Int?
    let indexOffset: Int?
    let indexRegeneratedIdentically: Bool?

    var testDescription: String { file }

    func bytes() throws -> [UInt8] { try VectorFiles.bytes("car/\(file)") }

    static let all = VectorFiles.list(CARFile.self, from: "car-files.json")
}

/// Everything in a CAR, fed to the reader in pieces of the given lengths over and over.
func readCAR(_ bytes: [UInt8], pieces: [Int] = [.max]) throws -> [CARReader.Event] {
    var reader = CARReader()
    var events: [CARReader.Event] = []
    try bytes.withUnsafeBytes { whole in
        var start = 0
        var turn = 0
        while start < whole.count {
            let end = start + min(pieces[turn % pieces.count], whole.count - start)
            events += try reader.feed(UnsafeRawBufferPointer(rebasing: whole[start..<end]))
            (start, turn) = (end, turn + 1)
        }
    }
    try reader.finish()
    return events
}

func sections(_ events: [CARReader.Event]) -> [CARReader.Section] {
    events.compactMap { if case .section(let section) = $0 { section } else { nil } }
}

func headerRoots(_ events: [CARReader.Event]) -> [CID]? {
    if case .header(let header) = events.first { header.roots } else { nil }
}

/// What reading a CAR comes to: its events, or the error.
func outcome(_ bytes: [UInt8], pieces: [Int] = [.max]) -> Result<[CARReader.Event], CARError> {
    do {
        return .success(try readCAR(bytes, pieces: pieces))
    } catch let error as CARError {
        return .failure(error)
    } catch {
        Issue.record(error)
        return .success([])
    }
}

struct CARTests {
    struct SmallVector: Decodable, CustomTestStringConvertible, Sendable {
        let name: String
        let carv1Hex: String
        let carv2Hex: String

        var testDescription: String { name }
    }

    @Test(arguments: CARFile.all.filter(\.valid))
    func filesOfOtherProgramsAreReadWhole(file: CARFile) throws {
        let bytes = try file.bytes()
        let events = try readCAR(bytes)
        #expect(headerRoots(events)?.map(\.description) == file.roots)
        let sections = sections(events)
        #expect(sections.count == file.nBlocks)
        #expect(events.count == sections.count + 1)
        let verifier = BlockVerifier()
        for section in sections {
            #expect(try section.block.withUnsafeBytes { try verifier.verify(section.cid, $0) })
        }
        for (section, block) in zip(sections, file.blocks ?? []) {
            #expect(section.cid.description == block.cid)
            #expect(section.block.count == block.byteCount)
            #expect(section.offset == UInt64(block.offset))
        }
    }

    @Test(arguments: CARFile.all.filter { !$0.valid })
    func damagedFilesOfOtherProgramsAreRefused(file: CARFile) throws {
        let bytes = try file.bytes()
        #expect(throws: CARError.self) { try readCAR(bytes) }
    }

    /// The damaged ones too: they are refused for the same reason.
    @Test(arguments: CARFile.all)
    func readingGoesOnElsewhere(file: CARFile) throws {
        let bytes = try file.bytes()
        var random = SeededGenerator(seed: 5)
        // The heads are where there is most to keep; the rest at random.
        var cuts = Set(0...min(bytes.count, 120))
        for _ in 0..<20 { cuts.insert(Int.random(in: 0...bytes.count, using: &random)) }
        let wanted = outcome(bytes)
        for cut in cuts.sorted() { #expect(outcomeOfTwo(bytes, cutAt: cut) == wanted, "at \(cut)") }
    }

    private func outcomeOfTwo(_ bytes: [UInt8], cutAt cut: Int) -> Result<
        [CARReader.Event], CARError
    > {
        do {
            var first = CARReader()
            var events = try bytes[..<cut].withUnsafeBytes { try first.feed($0) }
            let state = try JSONEncoder().encode(first.state)
            var second = CARReader(
                resuming: try JSONDecoder().decode(CARReader.State.self, from: state),
                pending: first.pending)
            events += try bytes[cut...].withUnsafeBytes { try second.feed($0) }
            try second.finish()
            return .success(events)
        } catch let error as CARError {
            return .failure(error)
        } catch {
            Issue.record(error)
            return .success([])
        }
    }

    /// Journals keep it.
    @Test func aStateHasTheseFieldsAndIsRead() throws {
        let block: [UInt8] = [1, 2, 3]
        let cid = try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, block)
        let bytes = CARWriter.indexedArchive(roots: [cid], blocks: [(cid, block)])
        let cut = CARv2.Header.byteCount + CARHeader(roots: [cid]).encoded.count + 39
        var reader = CARReader()
        _ = try bytes[..<cut].withUnsafeBytes { try reader.feed($0) }
        #expect(reader.pending == [1, 2])
        let zeros = "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
        let text = """
            {"itemOffset":110,"phase":{"block":{"_0":\(cid.bytes),"byteCount":3,\
            "sectionOffset":110}},"position":149,"v2Header":{"characteristics":[\(zeros)],\
            "dataByteCount":99,"dataOffset":51,"indexOffset":150}}
            """.replacing(" ", with: "")
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        #expect(String(decoding: try encoder.encode(reader.state), as: UTF8.self) == text)
        let state = try JSONDecoder().decode(CARReader.State.self, from: Data(text.utf8))
        #expect(state == reader.state)
        var resumed = CARReader(resuming: state, pending: [1, 2])
        let events = try bytes[cut...].withUnsafeBytes { try resumed.feed($0) }
        #expect(sections(events).map(\.block) == [block])
        #expect(sections(events).map(\.offset) == [59])
    }

    @Test(arguments: CARFile.all.filter(\.valid))
    func writingWhatWasReadGivesTheSameBytes(file: CARFile) throws {
        let bytes = try file.bytes()
        let events = try readCAR(bytes)
        let start = file.dataOffset ?? 0
        let payload = bytes[start..<start + (file.dataSize ?? bytes.count)]
        let written = CARWriter.archive(
            roots: try #require(headerRoots(events)),
            blocks: sections(events).map { ($0.cid, $0.block) })
        #expect(written == Array(payload))
    }

    @Test(arguments: CARFile.all.filter { $0.indexRegeneratedIdentically == true })
    func goCarIndexesAreRegeneratedByteForByte(file: CARFile) throws {
        let bytes = try file.bytes()
        var index = MultihashIndexBuilder()
        let sections = sections(try readCAR(bytes))
        for section in sections {
            index.add(section.cid, offset: section.offset)
        }
        let indexOffset = try #require(file.indexOffset)
        #expect(index.encoded() == Array(bytes[indexOffset...]))
        #expect(index.count == sections.filter { !$0.cid.isIdentity }.count)
    }

    @Test(arguments: VectorFiles.list(SmallVector.self, from: "car-small.json"))
    func smallArchivesAreWrittenByteForByte(vector: SmallVector) throws {
        let events = try readCAR(hex(vector.carv1Hex))
        let roots = try #require(headerRoots(events))
        let blocks = sections(events).map { ($0.cid, $0.block) }
        #expect(hex(CARWriter.archive(roots: roots, blocks: blocks)) == vector.carv1Hex)
        #expect(hex(CARWriter.indexedArchive(roots: roots, blocks: blocks)) == vector.carv2Hex)
        #expect(try readCAR(hex(vector.carv2Hex)) == events)
    }

    @Test func aTinyShardHasItsGoldenBytes() throws {
        struct Golden: Decodable {
            let blocksHex: [String]
            let nodeHex: String
            let carv2HeaderHex: String
            let indexHex: String
            let carv2Hex: String
        }
        let golden = try VectorFiles.decode(Golden.self, from: "golden-shard.json")
        let hasher = try BlockHasher(.sha2_256)
        var blocks = try golden.blocksHex.map {
            (try hasher.cid(version: .v1, codec: .raw, hex($0)), hex($0))
        }
        let links = blocks.enumerated().map { CBOR.Entry("\($0.offset)", .cid($0.element.0)) }
        let node = CBOR.map(links).encoded
        #expect(hex(node) == golden.nodeHex)
        let shard = try hasher.cid(version: .v1, codec: .dagCBOR, node)
        blocks.append((shard, node))
        let file = CARWriter.indexedArchive(roots: [shard], blocks: blocks)
        #expect(hex(file.prefix(51)) == golden.carv2HeaderHex)
        #expect(hex(file.suffix(golden.indexHex.count / 2)) == golden.indexHex)
        #expect(hex(file) == golden.carv2Hex)
        let header = try file.withUnsafeBytes { try CARv2.Header(decoding: $0) }
        #expect(header.encoded == Array(file.prefix(51)))
    }

    @Test(arguments: CARFile.all.filter { $0.file != "sample-wrapped-v2.car" }, UInt64(1)...4)
    func piecesOfAnySizeGiveTheSameAsTheWhole(file: CARFile, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bytes = try file.bytes()
        let most = seed == 1 ? 1 : [3, 40, 2000].randomElement(using: &random) ?? 1
        let pieces = (0..<50).map { _ in Int.random(in: 1...most, using: &random) }
        #expect(outcome(bytes, pieces: pieces) == outcome(bytes))
    }

    @Test(arguments: UInt64(1)...20)
    func randomArchivesSurviveARoundTripInPieces(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let known: [HashFunction] = [.sha2_256, .blake2b256, .identity, .sha1, .sha2_512]
        let blocks = try (0..<Int.random(in: 0...40, using: &random)).map { _ in
            let block = random.bytes(0...100)
            let hasher = try BlockHasher(known.randomElement(using: &random) ?? .sha1)
            return (try hasher.cid(version: .v1, codec: .raw, block), block)
        }
        let roots = (0..<Int.random(in: 0...3, using: &random)).map { _ in randomCID(&random) }
        let pieces = (0..<20).map { _ in Int.random(in: 1...90, using: &random) }
        for bytes in [
            CARWriter.archive(roots: roots, blocks: blocks),
            CARWriter.indexedArchive(roots: roots, blocks: blocks),
        ] {
            let events = try readCAR(bytes, pieces: pieces)
            #expect(headerRoots(events) == roots)
            #expect(sections(events).map(\.cid) == blocks.map(\.0))
            #expect(sections(events).map(\.block) == blocks.map(\.1))
        }
    }

    @Test func theLargestBlockComesBackWhole() throws {
        let block = (0..<CARReader.maximumBlockByteCount).map { UInt8(truncatingIfNeeded: $0 / 3) }
        let cid = try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, block)
        let bytes = CARWriter.archive(roots: [cid], blocks: [(cid, block)])
        let events = try readCAR(bytes, pieces: [65_536])
        #expect(sections(events).map(\.block) == [block])
    }
}
