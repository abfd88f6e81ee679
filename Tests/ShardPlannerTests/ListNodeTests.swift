import Multiformats
import Testing

@testable import ShardPlanner

/// List nodes against those of other programs.
struct ListNodeTests {
    /// Link `number` of the vectors: raw, sha2-256 of the number in decimal.
    static func link(_ number: Int) throws -> CID {
        try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, Array(String(number).utf8))
    }

    @Test func theNodePublishedByClusterComesOutByteForByte() throws {
        let known = ListNodeVectors.all.knownNode
        let bytes = hexadecimal(known.bytes)
        let links = try ListNode.decode(bytes)
        let block = try #require(try ListNode.blocks(for: links).first)
        #expect(block.bytes == bytes)
        #expect(block.cid == (try CID(known.cid)))
    }

    @Test(arguments: ListNodeVectors.all.lists.map(\.count))
    func rootsMatchAnIndependentEncoder(count: Int) throws {
        let expected = try #require(ListNodeVectors.all.lists.first { $0.count == count })
        let links = try (0..<count).map(Self.link)
        let blocks = try ListNode.blocks(for: links)
        #expect(blocks.last?.cid.description == expected.root)
        #expect(try ListNode.root(of: links).description == expected.root)
        let leafCount = (count + ListNode.maximumLinks - 1) / ListNode.maximumLinks
        #expect(blocks.count == (leafCount == 1 ? 1 : leafCount + 1))
        let verifier = BlockVerifier()
        for block in blocks {
            #expect(try block.bytes.withUnsafeBytes { try verifier.verify(block.cid, $0) })
        }
        #expect(try readBack(blocks) == links)
    }

    private func readBack(_ blocks: [ListNodeBlock]) throws -> [CID] {
        let root = try #require(blocks.last)
        let links = try ListNode.decode(root.bytes)
        guard blocks.count > 1 else { return links }
        #expect(links == blocks.dropLast().map(\.cid))
        return try blocks.dropLast().flatMap { try ListNode.decode($0.bytes) }
    }

    @Test func aMultipleOfTheMaximumMakesNoEmptyLeaf() throws {
        let links = try (0..<(2 * ListNode.maximumLinks)).map(Self.link)
        let blocks = try ListNode.blocks(for: links)
        #expect(blocks.count == 3)
        #expect(try ListNode.decode(blocks[1].bytes).count == ListNode.maximumLinks)
    }

    @Test func aBuilderEmitsLeavesAsTheyCloseAndCanBeUsedAgain() throws {
        let builder = ListNodeBuilder()
        var leaves = 0
        for number in 0..<(ListNode.maximumLinks * 2 + 1) {
            if try builder.append(Self.link(number)) != nil { leaves += 1 }
        }
        #expect(leaves == 2)
        let finished = builder.finish()
        #expect(finished.depth == 2)
        #expect(finished.blocks.count == 2)
        #expect(finished.blocks.last?.cid == finished.root)
        #expect(builder.linkCount == 0)
        _ = try builder.append(Self.link(0))
        let second = builder.finish()
        #expect(second.depth == 1)
        #expect(second.root.description == ListNodeVectors.all.lists.first?.root)
    }

    @Test func aBuilderRefusesMoreLeavesThanOneNodeLists() throws {
        let builder = ListNodeBuilder(maximumLinks: 4)
        for number in 0..<16 { _ = try builder.append(Self.link(number)) }
        #expect(throws: ListNodeError.tooManyLinks(limit: 16)) {
            try builder.append(Self.link(16))
        }
        #expect(builder.linkCount == 16)
        let finished = builder.finish()
        #expect(finished.depth == 2)
        #expect(try ListNode.decode(try #require(finished.blocks.last).bytes).count == 4)
        #expect(ShardPacker.maximumBlockCount == ListNode.maximumLinks * ListNode.maximumLinks)
    }

    @Test func everyShardOfTheKnownPlansHasItsCID() throws {
        for plan in ListNodeVectors.all.shardPlans {
            var packer = ShardPacker(limit: plan.limit)
            var shards: [(links: [CID], byteCount: Int)] = []
            for block in plan.blocks {
                if try packer.add(blockByteCount: block.size) { shards.append(([], 0)) }
                shards[shards.count - 1].links.append(try CID(block.cid))
                shards[shards.count - 1].byteCount += block.size
            }
            #expect(shards.map(\.byteCount) == plan.shards.map(\.size), "\(plan.name)")
            #expect(shards.map(\.links.count) == plan.shards.map(\.blocks), "\(plan.name)")
            let nodes = try shards.map { try ListNode.blocks(for: $0.links) }
            let cids = nodes.compactMap { $0.last?.cid }
            #expect(cids.map(\.description) == plan.shards.map(\.cid), "\(plan.name)")
            #expect(nodes.map { $0.last?.bytes.count } == plan.shards.map(\.nodeLength))
            #expect(try ListNode.root(of: cids).description == plan.clusterDAG, "\(plan.name)")
        }
        #expect(ListNodeVectors.all.shardPlans.count == 4)
    }

    @Test(arguments: [
        "", "a1", "a0ff", "a16130", "a16131d82a4500015500aa", "a16130d82b45000155000000",
        "a2613000", "b80161300000", "a16130d82a58230012209273fd", "80", "a16130d82a4101",
        "b9ffff", "bb00000000000000ff", "a178013041",
    ])
    func bytesThatAreNoListNodeAreRefused(hex: String) {
        #expect(throws: ListNodeError.self) { try ListNode.decode(hexadecimal(hex)) }
    }

    @Test func everyCutAndEveryFlippedBitOfANodeIsRefusedOrReadAsOtherLinks() throws {
        let links = try (0..<30).map(Self.link)
        let bytes = try #require(try ListNode.blocks(for: links).last).bytes
        for count in 0..<bytes.count {
            #expect(throws: ListNodeError.self) { try ListNode.decode(Array(bytes[..<count])) }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << bit
                // Not being a list node is as good an answer as other links.
                let read = try? ListNode.decode(changed)
                #expect(read != links)
            }
        }
    }
}

/// Bytes of a text of hexadecimal digits.
func hexadecimal(_ text: String) -> [UInt8] {
    let digits = Array(text)
    return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
        UInt8(String(digits[$0...($0 + 1)]), radix: 16)
    }
}
