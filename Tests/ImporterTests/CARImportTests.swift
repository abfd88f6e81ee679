import Multiformats
import SeededRandom
import Spill
import Testing
import VectorInputs

@testable import Importer

@Suite struct CARImportTests {
    private func check(
        _ blocks: TestBlocks, roots: [CID]? = nil, order: [CID]? = nil
    ) throws -> [CARImport.Root] {
        var car = try CARImport(
            roots: roots ?? blocks.roots, scratch: MemoryScratch(), seed: 0)
        var again = try CARImport(
            roots: roots ?? blocks.roots, scratch: MemoryScratch(), seed: 1)
        for cid in order ?? blocks.order {
            let addition = try blocks.load(cid).withUnsafeBytes { try car.add(cid, $0) }
            if case .new(let facts) = addition { try again.addAgain(cid, facts) }
        }
        // One fixture holds a block under both versions of its CID.
        #expect(car.blockCount == Set((order ?? blocks.order).map(\.asV1)).count)
        let (found, repeated) = (Result { try car.finish() }, Result { try again.finish() })
        #expect(
            "\(found)" == "\(repeated)", "without the blocks' bytes, it comes to something else")
        return try found.get()
    }

    private func missing(_ blocks: TestBlocks, roots: [CID]) throws -> (cid: CID, parent: CID?)? {
        do {
            _ = try check(blocks, roots: roots)
            return nil
        } catch CARImportError.missingBlock(let cid, linkedFrom: let parent, others: _) {
            return (cid, parent)
        } catch CARImportError.missingRoot(let cid) {
            return (cid, nil)
        }
    }

    // MARK: Published CARs

    @Test(arguments: ReadingDAGWalkTests.exports)
    func completeCARsAreAcceptedInAnyOrder(_ fixture: String) throws {
        let blocks = try TestBlocks(fixture: fixture)
        if blocks.order.contains(where: { $0.codec == .dagJSON }) { return }
        let roots = try check(blocks)
        #expect(roots.map(\.cid) == blocks.roots)
        var random = SeededGenerator(seed: 5)
        for _ in 0..<5 {
            #expect(try check(blocks, order: blocks.order.shuffled(using: &random)) == roots)
        }
        #expect(try check(blocks, order: blocks.order.reversed()) == roots)
    }

    /// Sizes and kinds of roots, from the vectors for the same trees.
    @Test(arguments: ReadingFileWalkTests.published)
    func rootsHaveTheSizeAnImportPrints(_ name: String) throws {
        let blocks = try TestBlocks(fixture: "gateway-conformance/\(name).car")
        let vector = ImportVector.all.first {
            $0.name.hasPrefix("gwconf") && $0.expect.cid == blocks.roots[0].description
        }
        let root = try check(blocks)[0]
        #expect(root.kind == .directory && root.fileByteCount == nil)
        #expect(root.cumulativeByteCount == vector?.expect.tsize.map { UInt64($0) })
    }

    @Test(arguments: [
        "go-car/simple-unixfs-missing-blocks.car",
        "gateway-conformance/trustless_gateway_car__file-3k-and-3-blocks-missing-block.car",
    ])
    func publishedCARsWithHolesAreRefused(_ fixture: String) throws {
        let blocks = try TestBlocks(fixture: fixture)
        let hole = try missing(blocks, roots: blocks.roots)
        guard let hole, let parent = hole.parent else {
            Issue.record("nothing is missing in \(fixture)")
            return
        }
        #expect(blocks[hole.cid] == nil)
        let links = try blocks.load(parent).withUnsafeBytes { try DAGLinks.links(of: parent, $0) }
        #expect(links.contains(hole.cid))
    }

    // MARK: Completeness

    @Test(arguments: [
        "go-car/simple-unixfs.car", "gateway-conformance/dir_listing__fixtures.car",
        "gateway-conformance/path_gateway_unixfs__symlink.car",
    ])
    func aCARWithoutAnyOneOfItsBlocksIsRefusedByName(_ fixture: String) throws {
        let whole = try TestBlocks(fixture: fixture)
        for cid in whole.order {
            var blocks = whole
            blocks.remove(cid)
            let hole = try missing(blocks, roots: whole.roots)
            #expect(hole?.cid == cid)
            #expect((hole?.parent == nil) == whole.roots.contains(cid))
        }
    }

    @Test func theMissingAreCountedOnceEach() throws {
        var blocks = TestBlocks()
        let (absent, other) = (TestBlocks().exampleCID(.raw), TestBlocks().exampleCID(.dagCBOR))
        let inner = blocks.add(.directory([("x", absent), ("y", absent), ("z", other)]))
        let root = blocks.add(.directory([("a", inner), ("b", absent)]))
        let error = #expect(throws: CARImportError.self) { try check(blocks, roots: [root]) }
        guard case .missingBlock(absent, linkedFrom: root, others: 1) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect("\(error!)".contains(absent.description) && "\(error!)".contains(root.description))
    }

    /// As in a gateway's CAR for a path, whose directories have other entries as well.
    @Test func blocksThatNoRootReachesAreKeptAndMayHaveHoles() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.raw, [1])
        let absent = TestBlocks().exampleCID(.dagPB)
        blocks.add(.dagPB, TestNode.directory([("a", absent), ("f", file)]).encoded)
        let roots = try check(blocks, roots: [file])
        #expect(roots[0].kind == .file && roots[0].fileByteCount == 1)
    }

    @Test func everyRootCounts() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.raw, [1])
        let absent = TestBlocks().exampleCID(.dagPB)
        #expect(try missing(blocks, roots: [file, absent])?.cid == absent)
        #expect(try check(blocks, roots: [file, file]).count == 2)
        #expect(throws: CARImportError.self) { try check(blocks, roots: []) }
    }

    @Test func bothVersionsOfACIDAreTheSameBlock() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.leaf([1]), version: .v0)
        let directory = TestNode.directory([("a", file.asV1), ("b", file)])
        let root = blocks.add(directory)
        #expect(try check(blocks, roots: [root]).count == 1)

        var car = try CARImport(roots: [root], scratch: MemoryScratch(), seed: 0)
        let block = try blocks.load(file)
        let facts = CARImport.Facts(links: [], roots: [])
        #expect(try block.withUnsafeBytes { try car.add(file, $0) } == .new(facts))
        #expect(try block.withUnsafeBytes { try car.add(file.asV1, $0) } == .duplicate)
        #expect(car.blockCount == 1)
    }

    /// Otherwise a directory could pass as raw bytes and nobody would look at its links.
    @Test func aBlockUnderAnotherCodecDoesNotFillAHole() throws {
        var blocks = TestBlocks()
        let absent = TestBlocks().exampleCID(.raw)
        let encoded = TestNode.directory([("x", absent)]).encoded
        let asRaw = blocks.add(.raw, encoded)
        let asDirectory = try BlockHasher(.sha2_256).cid(version: .v1, codec: .dagPB, encoded)
        let root = blocks.add(.directory([("a", asDirectory), ("b", asRaw)]))
        #expect(try missing(blocks, roots: [root])?.cid == asDirectory)
    }

    // MARK: Identity CIDs

    @Test func identityCIDsNeedNoBlockButTheirLinksDo() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [1])
        func identity(_ target: CID) -> CID {
            TestNode.directory([("x", target)]).encoded.withUnsafeBytes {
                CID.identity(codec: .dagPB, data: $0)
            }
        }
        let nested = identity(identity(leaf))
        let root = blocks.add(.directory([("a", nested)]))
        #expect(try check(blocks, roots: [root, nested])[1].kind == .directory)

        var holed = blocks
        holed.remove(leaf)
        #expect(try missing(holed, roots: [root])?.cid == leaf)
        #expect(try missing(TestBlocks(), roots: [nested])?.cid == leaf)
    }

    @Test func anEmptyIdentityRootIsComplete() throws {
        let roots = try check(TestBlocks(), roots: [try CID("bafkqaaa")])
        #expect(roots[0].kind == .file && roots[0].cumulativeByteCount == 0)
        #expect(roots[0].fileByteCount == 0)
    }

    @Test func aSectionForAnIdentityCIDMustHoldItsBytes() throws {
        let cid = [7].withUnsafeBytes { CID.identity(codec: .raw, data: $0) }
        var car = try CARImport(roots: [cid], scratch: MemoryScratch(), seed: 0)
        #expect(try [7].withUnsafeBytes { try car.add(cid, $0) } == .identity)
        #expect(throws: CARImportError.self) {
            try [8].withUnsafeBytes { try car.add(cid, $0) }
        }
    }

    // MARK: Blocks that cannot be imported

    @Test func blocksThatDoNotDecodeAreRefused() throws {
        for (codec, block) in [
            (Codec.dagPB, [0xff, 0xff]), (.dagCBOR, [0xff]), (.dagCBOR, [0xa1, 0x60]),
            (.raw, [UInt8](repeating: 0, count: (2 << 20) + 1)),
        ] {
            var blocks = TestBlocks()
            let root = blocks.add(codec, block)
            let error = #expect(throws: CARImportError.self) { try check(blocks, roots: [root]) }
            guard case .malformedBlock = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test func codecsWithUnknownLinksAreRefused() throws {
        for code in [0x0129, 0x78, 0x90] as [UInt64] {
            var blocks = TestBlocks()
            let root = blocks.add(Codec(rawValue: code), Array("{}".utf8))
            let error = #expect(throws: CARImportError.self) { try check(blocks, roots: [root]) }
            guard case .codecWithUnknownLinks(root) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
        for codec in [Codec.raw, .cbor, .json, .libp2pKey] {
            var blocks = TestBlocks()
            let root = blocks.add(codec, Array("{}".utf8))
            #expect(try check(blocks, roots: [root])[0].cumulativeByteCount == 2)
        }
    }

    @Test func rootsAreDescribed() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.leaf([1, 2, 3]))
        let symlink = blocks.add(.symlink("a"))
        let other = blocks.add(.dagPB, [])
        let cbor = blocks.add(.dagCBOR, [0x80])
        let roots = try check(blocks, roots: [file, symlink, other, cbor])
        #expect(roots.map(\.kind) == [.file, .symlink, nil, nil])
        #expect(roots.map(\.fileByteCount) == [3, nil, nil, nil])
        #expect(roots.map(\.cumulativeByteCount) == [11, 7, 0, 1])
    }

    @Test func scratchThatFailsIsReported() throws {
        struct Full: Error {}
        struct NoScratch: ScratchSpace {
            func makeFile() throws -> any ScratchFile { throw Full() }
        }
        let error = #expect(throws: CARImportError.self) {
            try CARImport(
                roots: [TestBlocks().exampleCID(.raw)], scratch: NoScratch(), seed: 0)
        }
        guard case .scratch(is Full) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}
