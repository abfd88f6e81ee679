import SeededRandom
import Testing

@testable import ShardPlanner

struct ShardPackerTests {
    @Test func aBlockThatReachesTheLimitBeginsTheNextShard() throws {
        var packer = ShardPacker(limit: 512)
        #expect(try packer.add(blockByteCount: 256))
        #expect(try packer.add(blockByteCount: 256), "256 + 256 is not below 512")
        #expect(try !packer.add(blockByteCount: 255))
        #expect(packer.openShard == .init(number: 1, byteCount: 511, blockCount: 2))
    }

    @Test func aBlockThatFillsAnEmptyShardIsAnErrorWithBothSizes() throws {
        var packer = ShardPacker(limit: 512)
        _ = try packer.add(blockByteCount: 100)
        let expected = PackingError.blockTooLarge(blockByteCount: 512, shardLimitByteCount: 512)
        #expect(throws: expected) { try packer.add(blockByteCount: 512) }
        #expect(packer.openShard == .init(number: 0, byteCount: 100, blockCount: 1))
        #expect(expected.description.contains("raise the shard size above 512"))
        #expect(try packer.add(blockByteCount: 511), "the largest block that fits")
    }

    @Test func withoutALimitThereIsOneShard() throws {
        var packer = ShardPacker(limit: nil)
        #expect(try packer.add(blockByteCount: 1 << 40))
        for _ in 0..<1000 { #expect(try !packer.add(blockByteCount: 1 << 40)) }
        #expect(packer.openShard?.blockCount == 1001)
    }

    @Test func emptyBlocksCount() throws {
        var packer = ShardPacker(limit: 1)
        #expect(try packer.add(blockByteCount: 0))
        #expect(try !packer.add(blockByteCount: 0))
        #expect(packer.openShard == .init(number: 0, byteCount: 0, blockCount: 2))
    }

    @Test(arguments: 0..<50 as Range<UInt64>)
    func packingAgreesWithANaiveReference(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let limit = Int.random(in: 2...2000, using: &random)
        let blocks = (0..<500).map { _ in Int.random(in: 0..<limit, using: &random) }
        var packer = ShardPacker(limit: limit)
        var shards: [[Int]] = []
        for block in blocks {
            if try packer.add(blockByteCount: block) { shards.append([]) }
            shards[shards.count - 1].append(block)
        }
        #expect(shards == naive(blocks, limit))
        #expect(shards.flatMap { $0 } == blocks, "every block is in exactly one shard, in order")
        #expect(shards.allSatisfy { $0.reduce(0, +) < limit }, "no shard reaches the limit")
    }

    /// Tries every cut from the front: the longest run whose sum stays below the limit.
    private func naive(_ blocks: [Int], _ limit: Int) -> [[Int]] {
        var rest = blocks[...]
        var shards: [[Int]] = []
        while !rest.isEmpty {
            var count = 1
            while count < rest.count, rest.prefix(count + 1).reduce(0, +) < limit { count += 1 }
            shards.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return shards
    }
}
