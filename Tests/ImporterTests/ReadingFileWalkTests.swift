import Multiformats
import SeededRandom
import Testing
import VectorInputs

@testable import Importer

@Suite struct ReadingFileWalkTests {
    static let shapes = TestFileShape.Leaf.allCases.flatMap { leaf in
        TestFileShape.Layout.allCases.map { layout in
            TestFileShape(leaf: leaf, layout: layout, chunkByteCount: 7, width: 3)
        }
    }

    @Test(arguments: shapes)
    func anyRangeOfAnyFileIsItsSlice(_ shape: TestFileShape) throws {
        var random = SeededGenerator(seed: 11)
        for byteCount in [0, 1, 6, 7, 8, 14, 21, 22, 64, 500] {
            var blocks = TestBlocks()
            let bytes = random.bytes(byteCount)
            let root = blocks.addFile(bytes, shape)
            #expect(try blocks.readFile(root) == bytes)
            for _ in 0..<25 {
                let start = Int.random(in: 0...byteCount + 3, using: &random)
                let end = Int.random(in: start...byteCount + 9, using: &random)
                let expected = Array(bytes[min(start, byteCount)..<min(end, byteCount)])
                #expect(try blocks.readFile(root, range: start..<end) == expected)
            }
        }
    }

    @Test(arguments: shapes)
    func onlyBlocksOfTheRangeAreAskedFor(_ shape: TestFileShape) throws {
        var blocks = TestBlocks()
        let root = blocks.addFile(SeededGenerator(seed: 3).sample(500), shape)
        for start in [0, 6, 250, 499] {
            var nothing = try FileWalk(root: root, range: start..<start)
            var askedForNothing: Set<CID> = []
            _ = try blocks.read(&nothing) { askedForNothing.insert($0) }
            #expect(askedForNothing.isSubset(of: [root]))
            var walk = try FileWalk(root: root, range: start..<start + 1)
            var asked: Set<CID> = []
            _ = try blocks.read(&walk) { asked.insert($0) }
            // One block a level: binary halves of 72 chunks make the deepest tree.
            #expect(asked.count <= 13)
        }
    }

    @Test func lookaheadNamesWhatComesNext() throws {
        for shape in Self.shapes where shape.leaf != .identity {
            var blocks = TestBlocks()
            let root = blocks.addFile(SeededGenerator(seed: 4).sample(400), shape)
            var walk = try FileWalk(root: root, range: 30..<370)
            var announced: CID?
            var last: CID?
            while true {
                let step = try walk.next()
                var wanted: CID?
                switch step {
                case .needBlock(let cid): wanted = cid
                case .leaf(let leaf): wanted = leaf.cid == last ? nil : leaf.cid
                case .inlineData, .done: break
                }
                if let wanted, let announced { #expect(wanted == announced) }
                if case .done = step { break }
                if case .needBlock(let cid) = step {
                    try blocks.load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
                    last = cid
                    announced = nil
                } else {
                    announced = walk.lookahead(1).first
                }
            }
            #expect(walk.lookahead(16).isEmpty)
        }
    }

    /// Balanced v0 files: all leaves of an open node can be fetched at once.
    @Test func lookaheadListsSiblingsOfADagPBLeaf() throws {
        var blocks = TestBlocks()
        let shape = TestFileShape(leaf: .dagPBFile, layout: .balanced, chunkByteCount: 4, width: 50)
        let root = blocks.addFile(SeededGenerator(seed: 5).sample(160), shape)
        var walk = try FileWalk(root: root)
        try blocks.load(root).withUnsafeBytes { try walk.supply($0, for: root) }
        guard case .needBlock = try walk.next() else {
            Issue.record("a dag-pb link may be an inner node, so it must be asked for")
            return
        }
        #expect(walk.lookahead(16).count == 16)
        #expect(walk.lookahead(1000).count == 39)
    }

    @Test func theSizeIsKnownAfterTheRootAndNarrowsTheWalk() throws {
        var blocks = TestBlocks()
        let bytes = SeededGenerator(seed: 6).sample(100)
        let shape = TestFileShape(leaf: .raw, layout: .balanced, chunkByteCount: 7, width: 3)
        let root = blocks.addFile(bytes, shape)
        var walk = try FileWalk(root: root)
        #expect(walk.fileByteCount == nil)
        try blocks.load(root).withUnsafeBytes { try walk.supply($0, for: root) }
        #expect(walk.fileByteCount == 100)
        walk.select(95..<100)
        #expect(try blocks.read(&walk) == Array(bytes[95...]))
    }

    @Test func anIdentityRootIsReadWithoutBlocks() throws {
        let cid = TestNode.leaf([1, 2, 3]).encoded.withUnsafeBytes {
            CID.identity(codec: .dagPB, data: $0)
        }
        #expect(try FileWalk(root: cid).fileByteCount == 3)
        #expect(try TestBlocks().readFile(cid, range: 1..<3) == [2, 3])
    }

    @Test func bytesInAnInnerNodeComeBeforeItsLinks() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [4, 5])
        let root = blocks.add(TestNode.file([(leaf, 2)], data: [1, 2, 3]))
        #expect(try blocks.readFile(root) == [1, 2, 3, 4, 5])
        #expect(try blocks.readFile(root, range: 2..<4) == [3, 4])
        #expect(try blocks.readFile(root, range: 3..<4) == [4])
    }

    // MARK: Published files

    /// Names and contents were taken out of these CARs by an independent program.
    static let published = [
        "path_gateway_unixfs__dir-with-files", "dir_listing__fixtures",
        "trustless_gateway_car__subdir-with-mixed-block-files", "redirects_file__redirects-spa",
        "path_gateway_unixfs__dir-with-percent-encoded-filename", "path_gateway_dag__dag-pb",
        "gateway-raw-block", "trustless_gateway_car__single-layer-hamt-with-multi-block-files",
    ]

    @Test(arguments: published)
    func publishedTreesHaveTheirNamesAndBytes(_ name: String) throws {
        let blocks = try TestBlocks(fixture: "gateway-conformance/\(name).car")
        let root = blocks.roots[0]
        guard
            let vector = ImportVector.all.first(where: {
                $0.name.hasPrefix("gwconf") && $0.expect.cid == root.description
            })
        else {
            Issue.record("no vector has the root \(root)")
            return
        }
        try vector.input.forEachNode { path, node in
            let cid = try blocks.resolve(root, path).terminal
            switch node.content {
            case .file(let spec):
                #expect(try blocks.readFile(cid) == spec.bytes)
            case .directory(let entries):
                let names = try blocks.list(cid).map(\.name)
                #expect(Set(names) == Set(entries.map(\.name)) && names.count == entries.count)
            case .symlink(let target):
                let block = try blocks.load(cid)
                let node = try block.withUnsafeBytes { try UnixFSNode(cid: cid, block: $0) }
                #expect(node.type == .symlink && Array(block[node.payload]) == target)
            }
        }
    }

    // MARK: Lies

    @Test func aLeafOfAnotherLengthThanItsParentSaysIsRefused() throws {
        for (leaf, codec) in [([1, 2, 3], Codec.raw), (TestNode.leaf([1, 2, 3]).encoded, .dagPB)] {
            for claimed in [1, 2, 4, 100] {
                var blocks = TestBlocks()
                let cid = blocks.add(codec, leaf)
                let root = blocks.add(TestNode.file([(cid, claimed)]))
                let error = #expect(throws: DAGReadError.self) { try blocks.readFile(root) }
                guard case .sizeMismatch(cid, claimed, 3) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
            }
        }
    }

    @Test func anInnerNodeOfAnotherLengthThanItsParentSaysIsRefused() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [1, 2, 3])
        let inner = blocks.add(TestNode.file([(leaf, 3), (leaf, 3)]))
        let root = blocks.add(TestNode.file([(inner, 7)]))
        let error = #expect(throws: DAGReadError.self) { try blocks.readFile(root) }
        guard case .sizeMismatch(inner, 7, 6) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func aRawLeafAboveTheBlockLimitIsRefusedBeforeItIsFetched() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [1])
        let root = blocks.add(TestNode.file([(leaf, (2 << 20) + 1)]))
        let error = #expect(throws: DAGReadError.self) { try blocks.readFile(root) }
        guard case .malformed(leaf, .leafTooLong) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    /// Each level links twice to the next: 2^60 paths, none of which leads to a byte.
    @Test func linksToNothingAreNotFollowed() throws {
        var blocks = TestBlocks()
        var cid = blocks.add(TestNode.leaf([]))
        for _ in 0..<60 { cid = blocks.add(TestNode.file([(cid, 0), (cid, 0)])) }
        #expect(try blocks.readFile(cid, stepLimit: 10) == [])
    }

    /// 2^62 bytes from 62 small blocks: sizes are exact, and a range in the middle is quick.
    @Test func aRangeOfAnImmenseFileIsFound() throws {
        var blocks = TestBlocks()
        var (cid, size) = (blocks.add(.raw, [7]), 1)
        for _ in 0..<61 {
            cid = blocks.add(TestNode.file([(cid, size), (cid, size)]))
            size *= 2
        }
        #expect(
            try blocks.readFile(cid, range: 1 << 60..<1 << 60 + 3, stepLimit: 1000) == [7, 7, 7])
        let tooLong = blocks.add(
            TestNode(
                type: 2, blockSizes: [UInt64(size), UInt64(size), UInt64(size), UInt64(size)],
                links: (0..<4).map { _ in DagPBLink(cid: cid, name: [], tsize: 0) }))
        #expect(throws: DAGReadError.self) { try blocks.readFile(tooLong) }
    }

    @Test func nodesDeeperThanTheLimitAreRefused() throws {
        var blocks = TestBlocks()
        var cid = blocks.add(.raw, [7])
        for level in 1...65 {
            cid = blocks.add(TestNode.file([(cid, 1)]))
            if level == 64 { #expect(try blocks.readFile(cid) == [7]) }
        }
        let error = #expect(throws: DAGReadError.self) { try blocks.readFile(cid) }
        guard case .tooDeep(_, 64) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func wideNodesAtManyLevelsAreRefusedBeforeTheyFillMemory() throws {
        var blocks = TestBlocks()
        var (cid, size) = (blocks.add(.raw, [7]), 1)
        for _ in 0..<7 {
            let filler = blocks.add(.raw, [7])
            cid = blocks.add(
                TestNode.file(
                    [(cid, size)] + Array(repeating: (filler, 1), count: 40_000)))
            size += 40_000
        }
        let error = #expect(throws: DAGReadError.self) { try blocks.readFile(cid) }
        guard case .tooManyOpenLinks = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func onlyFilesAreWalked() throws {
        var blocks = TestBlocks()
        let directory = blocks.add(TestNode.directory([]))
        let symlink = blocks.add(TestNode.symlink("x"))
        let cbor = blocks.add(.dagCBOR, [0xa0])
        for cid in [directory, symlink, cbor] {
            #expect(throws: DAGReadError.self) { try blocks.readFile(cid) }
            let parent = blocks.add(TestNode.file([(cid, 1)]))
            #expect(throws: DAGReadError.self) { try blocks.readFile(parent) }
        }
    }

    @Test func aBlockNobodyAskedForIsRefused() throws {
        var blocks = TestBlocks()
        let root = blocks.add(TestNode.leaf([1]))
        let other = blocks.add(.raw, [2])
        var walk = try FileWalk(root: root)
        let error = #expect(throws: DAGReadError.self) {
            try [2].withUnsafeBytes { try walk.supply($0, for: other) }
        }
        guard case .unexpectedBlock(other, awaited: root) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        // The walk goes on after such a slip.
        #expect(try blocks.read(&walk) == [1])
        #expect(throws: DAGReadError.self) {
            try [1].withUnsafeBytes { try walk.supply($0, for: root) }
        }
    }

    @Test func aBlockAboveTheLimitIsRefused() throws {
        var blocks = TestBlocks()
        let root = blocks.add(.raw, [UInt8](repeating: 0, count: (2 << 20) + 1))
        let error = #expect(throws: DAGReadError.self) { try blocks.readFile(root) }
        guard case .blockTooLarge = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}

extension SeededGenerator {
    func sample(_ count: Int) -> [UInt8] {
        var copy = self
        return copy.bytes(count)
    }
}
