import Multiformats
import SeededRandom
import Spill
import Testing
import VectorInputs

@testable import Importer

@Suite struct ReadingDAGWalkTests {
    @Test(arguments: GatewayVector.all)
    func gatewayRequestsAreAnsweredBlockForBlock(_ vector: GatewayVector) throws {
        let blocks = try TestBlocks(fixture: vector.fixture)
        let components = vector.path.split(separator: "/").map { Array($0.utf8) }
        let root = try CID(String(decoding: components[1], as: UTF8.self))
        let resolution = try blocks.resolve(root, Array(components[2...]))

        func value(_ name: String) -> String? { vector.query.first { $0.name == name }?.value }
        let bytes = try value("entity-bytes").map(EntityBytes.init(parsing:))
        let scope: DAGWalk.Scope =
            switch value("dag-scope") {
            case "block": .block
            case "entity": .entity(bytes)
            default: .all
            }
        var walk = DAGWalk(
            blocksOnTheWay: resolution.blocksOnTheWay, terminal: resolution.terminal, scope: scope,
            listsDuplicates: value("car-dups") == "y", scratch: MemoryScratch(), seed: 0)
        let sections = try blocks.sections(&walk)
        #expect(sections.count == vector.blockCount)
        if let expected = vector.blocksInOrder {
            #expect(sections.map(\.description) == expected)
        }
    }

    /// CARs that `ipfs dag export` wrote, among them dag-cbor and sharded directories.
    static let exports: [String] = JSONTree(parsing: VectorFiles.fixture("MANIFEST.json"))
        .member("fixtures").elements
        .filter { $0["equals_dfs_export"]?.boolean == true }.map { $0.member("file").text }

    @Test(arguments: exports)
    func exportsAreReproduced(_ fixture: String) throws {
        let blocks = try TestBlocks(fixture: fixture)
        #expect(try blocks.sections(blocks.roots[0]) == blocks.order)
    }

    @Test(arguments: exports)
    func forgettingOpenNodesChangesNothing(_ fixture: String) throws {
        let blocks = try TestBlocks(fixture: fixture)
        let all = try blocks.sections(blocks.roots[0], duplicates: true)
        for limit in [0, 1, 7, 300] {
            #expect(
                try blocks.sections(blocks.roots[0], openLinkLimit: limit) == blocks.order)
            #expect(
                try blocks.sections(blocks.roots[0], duplicates: true, openLinkLimit: limit)
                    == all)
        }
    }

    // MARK: Against a plain recursive model

    /// Blocks of the byte range below a file node, by the words of the specification.
    private func model(
        _ cid: CID, _ start: Int, _ wanted: Range<Int>, in blocks: TestBlocks
    ) throws -> [CID] {
        let own = cid.isIdentity ? [] : [cid]
        let block = try cid.identityData ?? blocks.load(cid)
        let node = try block.withUnsafeBytes { try UnixFSNode(cid: cid, block: $0) }
        var position = start + node.payload.count
        return try zip(node.links, node.blockByteCounts).reduce(into: own) { found, child in
            let range = position..<position + child.1
            position = range.upperBound
            if range.overlaps(wanted) {
                found += try model(child.0.cid, range.lowerBound, wanted, in: blocks)
            }
        }
    }

    private func withoutRepeats(_ cids: [CID]) -> [CID] {
        var seen: Set<CID> = []
        return cids.filter { seen.insert($0).inserted }
    }

    @Test(arguments: ReadingFileWalkTests.shapes)
    func rangesOfFilesListTheBlocksThatOverlap(_ shape: TestFileShape) throws {
        var random = SeededGenerator(seed: 21)
        for repeats in [1, 10] {
            var blocks = TestBlocks()
            // Repeated contents give a DAG in which inner nodes occur again.
            let bytes = Array(repeatElement(random.bytes(70), count: repeats).joined())
            let root = blocks.addFile(bytes, shape)
            for _ in 0..<25 {
                let start = Int.random(in: 0..<bytes.count, using: &random)
                let end = Int.random(in: start + 1...bytes.count, using: &random)
                let range = EntityBytes(from: start, to: end - 1)
                let expected = try model(root, 0, start..<end, in: blocks)
                for limit in [0, 5, 1000] {
                    #expect(
                        try blocks.sections(
                            root, .entity(range), duplicates: true, openLinkLimit: limit)
                            == expected)
                    #expect(
                        try blocks.sections(root, .entity(range), openLinkLimit: limit)
                            == withoutRepeats(expected))
                }
            }
        }
    }

    /// The first visit to a node may be for one end of the range and the next for the other.
    @Test func aNodeThatWasListedInPartIsGoneThroughAgain() throws {
        var blocks = TestBlocks()
        let leaves = (0..<4).map { blocks.add(.raw, [UInt8($0)]) }
        let inner = blocks.add(.file(leaves.map { ($0, 1) }))
        let root = blocks.add(.file([(inner, 4), (inner, 4)]))
        #expect(
            try blocks.sections(root, .entity(EntityBytes(from: 3, to: 4)))
                == [root, inner, leaves[3], leaves[0]])
    }

    // MARK: Scopes

    @Test func anEntityIsOneBlockForEverythingButFilesAndShards() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.raw, [1])
        let nodes = [
            file, blocks.add(.directory([("a", file)])), blocks.add(.symlink("a")),
            blocks.add(.dagCBOR, [0xa0]), blocks.add(.dagPB, []),
            blocks.add(TestNode(type: 9)),
        ]
        for cid in nodes {
            #expect(try blocks.sections(cid, .entity(nil)) == [cid])
            #expect(try blocks.sections(cid, .entity(EntityBytes(from: 0, to: 0))) == [cid])
            #expect(try blocks.sections(cid, .block) == [cid])
        }
    }

    @Test func anEntityOfAShardedDirectoryIsItsShards() throws {
        var blocks = TestBlocks()
        let entries = ReadingDirectoryTests.entries(600, seed: 9)
        let root = blocks.addHAMT(entries, fanout: 16)
        #expect(Set(try blocks.sections(root, .entity(nil))) == Set(blocks.order))
        #expect(
            try blocks.sections(root, .entity(nil), openLinkLimit: 0).count == blocks.order.count)
    }

    @Test func identityBlocksAreFollowedButNotListed() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [1])
        let identity = TestNode.directory([("x", leaf)]).encoded.withUnsafeBytes {
            CID.identity(codec: .dagPB, data: $0)
        }
        let root = blocks.add(.directory([("a", identity), ("b", identity)]))
        #expect(try blocks.sections(root) == [root, leaf])
        #expect(try blocks.sections(root, duplicates: true) == [root, leaf, leaf])
        #expect(
            try blocks.sections(root, duplicates: true, openLinkLimit: 0) == [root, leaf, leaf])
        #expect(try blocks.sections(identity) == [leaf])
        #expect(try blocks.sections(identity, .block) == [])
    }

    @Test func dagCBORLinksAreFollowedInOrder() throws {
        var blocks = TestBlocks()
        let leaves = (0..<3).map { blocks.add(.raw, [UInt8($0)]) }
        func link(_ cid: CID) -> [UInt8] { [0xd8, 0x2a, 0x58, 0x25, 0] + cid.bytes }
        // {"a": [link, {"b": link}], "c": link}
        let block =
            [0xa2, 0x61, 0x61, 0x82] + link(leaves[2]) + [0xa1, 0x61, 0x62] + link(leaves[0])
            + [0x61, 0x63] + link(leaves[1])
        let root = blocks.add(.dagCBOR, block)
        #expect(try blocks.sections(root) == [root, leaves[2], leaves[0], leaves[1]])
    }

    // MARK: Bounds

    @Test func onlyNodesWithLinksLeftAreOpen() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [1])
        var (chain, comb) = (leaf, leaf)
        for _ in 0..<11 {
            chain = blocks.add(.directory([("a", chain)]))
            comb = blocks.add(.directory([("a", comb), ("b", leaf)]))
        }
        func sections(_ root: CID) throws -> [CID] {
            var walk = DAGWalk(
                terminal: root, scope: .all, listsDuplicates: false, scratch: MemoryScratch(),
                seed: 0, openNodeLimit: 10)
            return try blocks.sections(&walk)
        }
        #expect(try sections(chain).count == 12)
        let error = #expect(throws: DAGReadError.self) { try sections(comb) }
        guard case .tooDeep(_, limit: 10) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func openLinksStayWithinTheirLimit() throws {
        var random = SeededGenerator(seed: 8)
        var blocks = TestBlocks()
        var level = (0..<4096).map { _ in blocks.add(.raw, random.bytes(8)) }
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 4).map { start in
                blocks.add(.directory(level[start..<start + 4].map { ("a", $0) }))
            }
        }
        var walk = DAGWalk(
            terminal: level[0], scope: .all, listsDuplicates: false, scratch: MemoryScratch(),
            seed: 0, openLinkLimit: 6)
        var (mostOpen, returns) = (0, 0)
        while true {
            let step = try walk.next()
            mostOpen = max(mostOpen, walk.openLinkCount)
            switch step {
            case .section(let cid, mustSupply: true):
                try blocks.load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
            case .needBlock(let cid):
                returns += 1
                try blocks.load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
            case .section: break
            case .done:
                #expect(mostOpen == 4 && returns > 0)
                return
            }
        }
    }

    @Test func sharedSubtreesAreWalkedOnce() throws {
        var blocks = TestBlocks()
        var cid = blocks.add(.raw, [1])
        for _ in 0..<60 { cid = blocks.add(.directory([("a", cid), ("b", cid)])) }
        #expect(try blocks.sections(cid, stepLimit: 1000).count == 61)
    }

    @Test func lookaheadIsWhatTheNextSectionsAre() throws {
        let blocks = try TestBlocks(
            fixture: "gateway-conformance/trustless_gateway_car__dir-with-duplicate-files.car")
        let root = blocks.roots[0]
        var walk = DAGWalk(
            terminal: root, scope: .all, listsDuplicates: true, scratch: MemoryScratch(), seed: 0)
        #expect(try walk.next() == .section(root, mustSupply: true))
        #expect(try walk.next() == .needBlock(root))
        try blocks.load(root).withUnsafeBytes { try walk.supply($0, for: root) }
        #expect(walk.lookahead(3) == Array(try blocks.sections(root, duplicates: true)[1...3]))
    }

    @Test func aBlockThatChangedBetweenTwoReadsIsRefused() throws {
        var blocks = TestBlocks()
        let leaf = blocks.add(.raw, [1])
        let inner = blocks.add(.directory([("a", leaf), ("b", leaf)]))
        let root = blocks.add(.directory([("a", inner), ("b", inner)]))
        var walk = DAGWalk(
            terminal: root, scope: .all, listsDuplicates: true, scratch: MemoryScratch(), seed: 0,
            openLinkLimit: 0)
        let error = #expect(throws: DAGReadError.self) {
            var reads = 0
            while true {
                switch try walk.next() {
                case .section(root, _), .needBlock(root):
                    reads += 1
                    let block = reads == 1 ? try blocks.load(root) : TestNode.directory([]).encoded
                    try block.withUnsafeBytes { try walk.supply($0, for: root) }
                case .section(inner, _), .needBlock(inner):
                    try blocks.load(inner).withUnsafeBytes { try walk.supply($0, for: inner) }
                case .done: return
                default: break
                }
            }
        }
        guard case .malformedLinks(root, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}

@Suite struct ReadingEntityBytesTests {
    @Test(arguments: [
        ("0:*", 10, 0..<10), ("0:0", 10, 0..<1), ("3:5", 10, 3..<6), ("-5:*", 10, 5..<10),
        ("-5:-2", 10, 5..<9), ("512:-256", 1026, 512..<771), ("-9999:*", 10, 0..<10),
        ("5:100", 10, 5..<10), ("10:20", 10, 0..<0), ("0:*", 0, 0..<0), ("8:-5", 10, 0..<0),
        ("0:-11", 10, 0..<0), ("-0:0", 10, 0..<1), ("-5:3", 10, 0..<0), ("-9:3", 10, 1..<4),
        ("-9223372036854775808:9223372036854775807", 10, 0..<10),
        ("0:9223372036854775807", Int.max, 0..<Int.max),
    ])
    func rangesFollowTheSpecification(text: String, byteCount: Int, expected: Range<Int>) throws {
        #expect(try EntityBytes(parsing: text).range(inFileOf: byteCount) == expected)
    }

    @Test(arguments: [
        "", ":", "1", "1:", ":1", "*:1", "x:y", "1:2:3", "1: 2", " 1:2", "+1:2", "1:+2", "2:1",
        "-1:-2", "1.0:2", "0x1:2", "9223372036854775808:*", "1:**", "--1:2", "１:2",
    ])
    func badSyntaxIsRefused(_ text: String) {
        #expect(throws: EntityBytesError(text: text)) { try EntityBytes(parsing: text) }
    }
}
