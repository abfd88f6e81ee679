import Multiformats
import SeededRandom
import Spill
import Testing

@testable import Importer

/// What a hostile peer could serve if nothing checked hashes: readers must neither crash nor hang,
/// whatever the bytes.
@Suite struct ReadingMutationTests {
    private static let stepLimit = 5_000

    /// A tree with every kind of node the readers know.
    private static func makeTree(_ random: inout SeededGenerator) -> (TestBlocks, root: CID) {
        var blocks = TestBlocks()
        var entries: [(name: [UInt8], cid: CID)] = []
        for shape in ReadingFileWalkTests.shapes {
            entries.append((random.bytes(4), blocks.addFile(random.bytes(60), shape)))
        }
        let link = blocks.add(.symlink("target"))
        let sharded = blocks.addHAMT(entries + [(random.bytes(3), link)], fanout: 8)
        let cbor = blocks.add(
            .dagCBOR, [0x82, 0x61, 0x61, 0xd8, 0x2a, 0x58, 0x25, 0] + link.bytes)
        let root = blocks.add(.directory([("cbor", cbor), ("link", link), ("sharded", sharded)]))
        return (blocks, root)
    }

    private static func mutate(_ block: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var block = block
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let position = Int.random(in: 0...block.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: block = Array(block[..<position])
            case 1: block.insert(UInt8.random(in: 0...255, using: &random), at: position)
            case 2 where position < block.count: block.remove(at: position)
            case 3 where position < block.count:
                block[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 4 where position < block.count:
                // Numbers near the limits of their types.
                let huge: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
                block.replaceSubrange(position..<position + 1, with: huge.suffix(position % 10 + 1))
            default:
                let end = Int.random(in: position...block.count, using: &random)
                block.insert(contentsOf: block[position..<end], at: position)
            }
        }
        return block
    }

    /// Any error is a good answer, except that there is no end.
    private func survives(_ body: () throws -> Void) {
        do {
            try body()
        } catch is TestWalkEndless {
            Issue.record("the walk does not end")
        } catch {
            #expect(!"\(error)".isEmpty)
        }
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func mutatedBlocksNeitherCrashNorHang(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let (whole, root) = Self.makeTree(&random)
        for _ in 0..<60 {
            var blocks = whole
            let victim = whole.order.randomElement(using: &random)!
            blocks.put(victim, Self.mutate(whole[victim]!, &random))
            // Begin above the lie half of the time, and at it otherwise.
            let start = Bool.random(using: &random) ? victim : root
            let from = Int.random(in: -70...70, using: &random)
            let bytes = EntityBytes(from: from, to: from < 0 ? nil : from + 9)

            survives { _ = try blocks.readFile(start, stepLimit: Self.stepLimit) }
            survives { _ = try blocks.readFile(start, range: 5..<9, stepLimit: Self.stepLimit) }
            survives { _ = try blocks.list(start, stepLimit: Self.stepLimit) }
            survives {
                for entry in try blocks.list(start, stepLimit: Self.stepLimit) {
                    _ = try blocks.resolve(
                        start, [entry.name, entry.name], stepLimit: Self.stepLimit)
                }
            }
            for scope in [DAGWalk.Scope.all, .block, .entity(nil), .entity(bytes)] {
                for limit in [0, 65_536] {
                    survives {
                        _ = try blocks.sections(
                            start, scope, duplicates: seed.isMultiple(of: 2), openLinkLimit: limit,
                            stepLimit: Self.stepLimit)
                    }
                }
            }
            survives {
                var car = try CARImport(roots: [start], scratch: MemoryScratch(), seed: seed)
                for cid in blocks.order {
                    _ = try blocks.load(cid).withUnsafeBytes { try car.add(cid, $0) }
                }
                _ = try car.finish()
            }
        }
    }

    /// What comes out of a file with a lie in it is never more than the root promises.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func aFileNeverGivesMoreBytesThanItPromises(seed: UInt64) throws {
        var random = SeededGenerator(seed: 1000 + seed)
        for shape in ReadingFileWalkTests.shapes {
            var whole = TestBlocks()
            let root = whole.addFile(random.bytes(100), shape)
            for _ in 0..<50 {
                guard let victim = whole.order.randomElement(using: &random) else { continue }
                var blocks = whole
                blocks.put(victim, Self.mutate(whole[victim]!, &random))
                var walk = try FileWalk(root: root)
                var delivered = 0
                survives {
                    for _ in 0..<Self.stepLimit {
                        switch try walk.next() {
                        case .needBlock(let cid):
                            try blocks.load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
                        case .leaf(let leaf):
                            let block = try blocks.load(leaf.cid)
                            let range = try block.withUnsafeBytes {
                                try leaf.wantedRange(in: $0)
                            }
                            #expect(leaf.fileRange.lowerBound == delivered)
                            delivered += block[range].count
                        case .inlineData(let data): delivered += data.count
                        case .done:
                            #expect(delivered == walk.fileByteCount)
                            return
                        }
                    }
                    throw TestWalkEndless()
                }
                #expect(delivered <= walk.fileByteCount ?? 0)
            }
        }
    }
}
