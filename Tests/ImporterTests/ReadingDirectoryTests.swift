import Multiformats
import SeededRandom
import Testing

@testable import Importer

@Suite struct ReadingDirectoryTests {
    static let fanouts = [8, 16, 32, 64, 128, 256, 512, 1024]

    static func entries(_ count: Int, seed: UInt64) -> [(name: [UInt8], cid: CID)] {
        var random = SeededGenerator(seed: seed)
        var blocks = TestBlocks()
        return (0..<count).map { index in
            let name =
                Array("\(index)-".utf8) + random.bytes(Int.random(in: 0...20, using: &random))
            return (name, blocks.add(.raw, name))
        }
    }

    @Test(arguments: fanouts)
    func aShardedDirectoryGivesBackEveryName(fanout: Int) throws {
        for count in [0, 1, 2, 9, 300, 2000] {
            var blocks = TestBlocks()
            let entries = Self.entries(count, seed: UInt64(fanout + count))
            let root = blocks.addHAMT(entries, fanout: fanout)
            let listed = try blocks.list(root)
            #expect(
                Dictionary(uniqueKeysWithValues: listed.map { ($0.name, $0.cid) })
                    == Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.cid) }))
            #expect(listed.count == count)
            for entry in entries.prefix(100) {
                let resolution = try blocks.resolve(root, [entry.name])
                #expect(resolution.terminal == entry.cid)
                #expect(resolution.blocksOnTheWay.first == root)
                #expect(resolution.blocksOnTheWay.count <= 64 / fanout.trailingZeroBitCount)
            }
            for absent in Self.entries(50, seed: 77) {
                #expect(throws: PathResolutionError.self) {
                    try blocks.resolve(root, [absent.name + [0xff]])
                }
            }
        }
    }

    @Test func aBasicDirectoryIsListedInTheOrderOfItsLinks() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.raw, [1])
        let root = blocks.add(.directory([("b", file), ("a", file), ("b", file)]))
        #expect(try blocks.list(root).map(\.name) == [[0x62], [0x61], [0x62]])
    }

    @Test func anIdentityDirectoryIsListedWithoutBlocks() throws {
        let file = [1].withUnsafeBytes { CID.identity(codec: .raw, data: $0) }
        let root = TestNode.directory([("a", file)]).encoded.withUnsafeBytes {
            CID.identity(codec: .dagPB, data: $0)
        }
        #expect(try TestBlocks().list(root).map(\.cid) == [file])
        #expect(try TestBlocks().resolve(root, "a").terminal == file)
    }

    @Test func lookaheadListsTheShardsStillToBeRead() throws {
        var blocks = TestBlocks()
        let root = blocks.addHAMT(Self.entries(2000, seed: 1), fanout: 256)
        var walk = DirectoryWalk(root: root)
        var announced: CID?
        while true {
            let step = try walk.next()
            if case .done = step { break }
            if case .needBlock(let cid) = step {
                if let announced { #expect(announced == cid) }
                try blocks.load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
                if cid == root { #expect(walk.lookahead(16).count == 16) }
                #expect(walk.isSharded == true)
            }
            announced = walk.lookahead(1).first
        }
        #expect(walk.lookahead(16).isEmpty)
    }

    @Test func namesThatCannotBeAPathComponentAreTold() throws {
        let cid = TestBlocks().exampleCID(.raw)
        for name in ["", ".", "..", "a/b", "/", "a\0b"] {
            #expect(!DirectoryEntry(name: Array(name.utf8), cid: cid, tsize: 0).isPathComponent)
        }
        for name in ["a", "...", ".a", "a\\b", "é"] {
            #expect(DirectoryEntry(name: Array(name.utf8), cid: cid, tsize: 0).isPathComponent)
        }
    }

    // MARK: Malformed shards

    /// A valid shard of two entries, to be spoiled.
    private func shard(
        _ blocks: inout TestBlocks, _ spoil: (inout TestNode) -> Void
    ) throws -> UnixFSNodeError? {
        let file = blocks.add(.raw, [1])
        let names = ["a", "b", "c"].map { Array($0.utf8) }
        let slots = names.map { name in
            (index: Int(HAMTNode.hash(name) >> 56), name: name, cid: file)
        }
        var node = TestNode.hamt(fanout: 256, slots.sorted { $0.index < $1.index })
        spoil(&node)
        let root = blocks.add(node)
        do {
            _ = try blocks.list(root)
            return nil
        } catch DAGReadError.malformed(root, let error) {
            return error
        }
    }

    @Test func spoiledShardsAreRefused() throws {
        var blocks = TestBlocks()
        #expect(try shard(&blocks) { _ in } == nil)

        // A bit field may be written with leading zeros.
        #expect(try shard(&blocks) { $0.data = [0, 0] + $0.data! } == nil)

        func first(_ node: TestNode) -> [UInt8] { node.links[0].name }
        var name: [UInt8] = []
        #expect(
            try shard(&blocks) {
                name = Array(first($0).dropFirst(2))
                $0.links[0].name = name
            } == .badSlotName(name))
        #expect(
            try shard(&blocks) {
                name = []
                $0.links[0].name = name
            } == .badSlotName(name))
        #expect(
            try shard(&blocks) {
                name = [0x30] + first($0)
                $0.links[0].name = name
            } != nil)
        #expect(
            try shard(&blocks) { node in
                node.links.swapAt(0, 1)
                name = node.links[1].name
            } == .slotsOutOfOrder(name))
        #expect(
            try shard(&blocks) { node in
                node.links.insert(node.links[1], at: 1)
                name = node.links[1].name
            } == .slotsOutOfOrder(name))
        #expect(try shard(&blocks) { $0.data![0] ^= 1 } == .badBitfield)
        #expect(try shard(&blocks) { $0.data = nil } == .badBitfield)
        #expect(try shard(&blocks) { $0.data = [1] + $0.data! } != nil)
        #expect(try shard(&blocks) { _ = $0.links.removeLast() } == .badBitfield)
        #expect(
            try shard(&blocks) { node in
                node.links[0].name[2] ^= 0x40
                name = Array(node.links[0].name.dropFirst(2))
            } == .nameInWrongSlot(name))
        #expect(try shard(&blocks) { $0.fanout = 1024 } != nil)
        #expect(try shard(&blocks) { $0.fanout = 16 } != nil)
        #expect(try shard(&blocks) { $0.hashType = 0x12 } == .badHashFunction(0x12))
    }

    @Test func slotsInLowerCaseAreRefused() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.raw, [1])
        // A name whose slot has a letter in it.
        let name = (0..<200).map { Array("\($0)".utf8) }.first {
            HAMTNode.hash($0) >> 56 == 0xAB
                || HAMTNode.hash($0) >> 60 == 0xF
        }!
        var node = TestNode.hamt(fanout: 256, [(Int(HAMTNode.hash(name) >> 56), name, file)])
        let good = blocks.add(node)
        #expect(try blocks.list(good).count == 1)
        node.links[0].name = node.links[0].name.enumerated().map { index, byte in
            index < 2 && byte > 0x40 ? byte | 0x20 : byte
        }
        let root = blocks.add(node)
        #expect(throws: DAGReadError.self) { try blocks.list(root) }
    }

    @Test func childShardsMustMatchTheirParent() throws {
        var blocks = TestBlocks()
        let file = blocks.add(.raw, [1])
        let name = Array("a".utf8)
        let hash = HAMTNode.hash(name)
        func root(_ child: TestNode, slot: Int = Int(hash >> 56)) -> CID {
            let cid = blocks.add(child)
            return blocks.add(.hamt(fanout: 256, [(slot, [], cid)]))
        }
        func error(_ root: CID) -> UnixFSNodeError? {
            let error = #expect(throws: DAGReadError.self) { try blocks.list(root) }
            guard case .malformed(_, let reason) = error else { return nil }
            return reason
        }
        let good = TestNode.hamt(fanout: 256, [(Int(hash >> 48 & 0xff), name, file)])
        let goodRoot = root(good)
        #expect(try blocks.list(goodRoot).count == 1)
        // In another slot of the root, the name is not where its hash leads.
        #expect(error(root(good, slot: Int(hash >> 56) ^ 1)) == .nameInWrongSlot(name))
        let other = TestNode.hamt(fanout: 16, [(Int(hash >> 52 & 0xf), name, file)])
        #expect(error(root(other)) == .fanoutChanges(parent: 256, child: 16))
        #expect(error(root(TestNode.hamt(fanout: 256, []))) == .emptyShard)
        let wrongKind = root(TestNode.directory([]))
        let refusal = #expect(throws: DAGReadError.self) { try blocks.list(wrongKind) }
        guard case .notADirectory = refusal else {
            Issue.record("\(String(describing: refusal))")
            return
        }
    }

    /// Eight levels use up the hash; a ninth would need bits that are not there.
    @Test func shardsDeeperThanTheHashAreRefused() throws {
        var blocks = TestBlocks()
        let name = Array("a".utf8)
        let hash = HAMTNode.hash(name)
        func slot(_ level: Int) -> Int { Int(hash >> (56 - level * 8) & 0xff) }
        func chain(levels: Int) -> CID {
            var node = TestNode.hamt(
                fanout: 256, [(slot(min(levels, 8) - 1), name, blocks.add(.raw, [1]))])
            for level in (0..<levels - 1).reversed() {
                node = TestNode.hamt(fanout: 256, [(slot(min(level, 7)), [], blocks.add(node))])
            }
            return blocks.add(node)
        }
        let deepest = chain(levels: 8)
        #expect(try blocks.list(deepest).count == 1)
        #expect(try blocks.resolve(deepest, [name]).blocksOnTheWay.count == 8)
        let tooDeep = chain(levels: 9)
        let error = #expect(throws: DAGReadError.self) { try blocks.list(tooDeep) }
        guard case .malformed(_, .shardTooDeep) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func onlyDirectoriesAreListed() throws {
        var blocks = TestBlocks()
        for cid in [
            blocks.add(.raw, [1]), blocks.add(.leaf([1])), blocks.add(.symlink("x")),
            blocks.add(.dagCBOR, [0xa0]),
        ] {
            #expect(throws: DAGReadError.self) { try blocks.list(cid) }
        }
    }
}
