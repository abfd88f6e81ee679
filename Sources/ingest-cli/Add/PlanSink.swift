import ImportPipeline
import Importer
import Multiformats
import PosixIO
import ShardPlanner
import Spill

/// Packs the blocks of an import into the shards a service would make of them, and keeps only what
/// describes these.
final class PlanSink: BlockSink {
    private let seen: SpillTable
    private let keys: CIDKeys
    private var packer: ShardPacker
    private let links = ListNodeBuilder()
    private let shardLinks = ListNodeBuilder()
    private var file = ShardFileLength()
    private(set) var shards: [ShardPlan.Shard] = []

    init(shardLimit: Int?, scratch: any ScratchSpace) {
        packer = ShardPacker(limit: shardLimit)
        let seed = UInt64.random(in: 0...UInt64.max)
        keys = CIDKeys(seed: seed)
        seen = SpillTable(scratch: scratch, seed: seed)
    }

    func put(_ cid: CID, _ block: BlockBytes) throws {
        guard try seen.insertIfAbsent(SpillKey(keys.key(of: cid)), 0) == nil else { return }
        let before = packer.openShard
        if try packer.add(blockByteCount: block.byteCount), let before { try close(before) }
        file.add(cid, blockByteCount: block.byteCount)
        if let leaf = try links.append(cid) { file.add(leaf.cid, blockByteCount: leaf.bytes.count) }
    }

    func entryDone(_ entry: ImportedEntry) {}

    private func close(_ shard: ShardPacker.OpenShard) throws {
        let list = links.finish()
        for node in list.blocks { file.add(node.cid, blockByteCount: node.bytes.count) }
        _ = try shardLinks.append(list.root)
        shards.append(
            .init(
                number: shard.number, cid: list.root, blockCount: shard.blockCount,
                payloadByteCount: shard.byteCount, fileByteCount: file.byteCount))
        file = ShardFileLength()
    }

    /// Everything has been put: the plan, without peers.
    func finish(root: CID) throws -> ShardPlan {
        if let last = packer.openShard { try close(last) }
        return ShardPlan(root: root, clusterDAG: shardLinks.finish().root, shards: shards)
    }
}

/// Length of a shard's file: a CARv2 with its header, one root, sections and a sorted index.
struct ShardFileLength {
    /// Header of the CARv2, header of the CARv1 with one root of 36 bytes, head of the index.
    private(set) var byteCount = 51 + 59 + 2 + 4
    private var functions: Set<UInt64> = []
    private var buckets: Set<Bucket> = []

    private struct Bucket: Hashable {
        let function: UInt64
        let digestByteCount: Int
    }

    mutating func add(_ cid: CID, blockByteCount: Int) {
        let function = cid.hashFunction.rawValue
        byteCount += CARWriter.sectionByteCount(cid, blockByteCount: blockByteCount)
        byteCount += cid.digestByteCount + 8
        if functions.insert(function).inserted { byteCount += 8 + 4 }
        let bucket = Bucket(function: function, digestByteCount: cid.digestByteCount)
        if buckets.insert(bucket).inserted { byteCount += 4 + 8 }
    }
}
