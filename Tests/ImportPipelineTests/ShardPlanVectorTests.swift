import ImportPipeline
import Importer
import Multiformats
import PosixIO
import ShardPlanner
import Spill
import Testing
import VectorInputs

/// Whole imports cut into shards, against the plans of ipfs-cluster and of an independent planner.
struct ShardPlanVectorTests {
    private static let vectors = ShardPlanVector.all.filter { !$0.isMeasured }

    /// In these the planner behind the vector puts a full inner node behind the next leaf, where
    /// ipfs-cluster, the measured vectors and this project put it before.
    private static let lateInnerNodes: Set<String> = ["shard-many-links"]

    @Test(arguments: vectors)
    func shardsAreThoseOfTheVectors(vector: ShardPlanVector) async throws {
        let planner = PlanningSink(
            limit: vector.shardLimit, delaysInnerNodes: Self.lateInnerNodes.contains(vector.name))
        try await checkRoot(vector, planner)
        try checkShards(vector, planner)
    }

    /// ipfs-cluster puts two more blocks into the last shard: the empty directory, and one that holds the
    /// file under the name it was sent with.
    @Test func shardsAreThoseThatIPFSClusterMadeOfAFile() async throws {
        let vector = try #require(
            ShardPlanVector.all.first { $0.name == "cluster-file-50MiB-upstream" })
        let planner = PlanningSink(limit: vector.shardLimit, delaysInnerNodes: false)
        try await checkRoot(vector, planner)
        try planner.pack(CID("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"), 4)
        try planner.pack(CID("QmZ798m9MFqAWcTVYfKtwDYDVz9tJQnBHXZijHTKCv19wy"), 95)
        try checkShards(vector, planner)
    }

    private func checkRoot(_ vector: ShardPlanVector, _ planner: PlanningSink) async throws {
        let workers = try WorkerPool(name: "test", threadCount: 2)
        let pipeline = try ImportPipeline(
            options: ImportOptions(vector.opts), sink: planner, scratch: MemoryScratch(),
            workers: workers, slabs: SlabPool(spareCount: 2))
        let input = vector.input
        try await hand(input, [input.name.isEmpty ? Array("root".utf8) : input.name], to: pipeline)
        let root = try await pipeline.finish()
        #expect(root.cid.description == vector.root)
    }

    private func checkShards(_ vector: ShardPlanVector, _ planner: PlanningSink) throws {
        let shards = try planner.finish()
        #expect(shards.map(\.cid.description) == vector.shards.map(\.cid))
        #expect(shards.map(\.byteCount) == vector.shards.map(\.byteCount))
        #expect(shards.map(\.blockCount) == vector.shards.map(\.blockCount))
        let clusterDAG = try ListNode.blocks(for: shards.map(\.cid)).last?.cid
        #expect(clusterDAG?.description == vector.clusterDAG)
    }

    private func hand(
        _ node: VectorNode, _ path: [[UInt8]], to pipeline: ImportPipeline
    ) async throws {
        try await pipeline.prepare()
        let place = try ImportPath(components: path)
        switch node.content {
        case .file(let spec):
            pipeline.beginFile(place, node.metadata)
            let bytes = spec.bytes
            for start in stride(from: 0, to: bytes.count, by: 500_000) {
                try await pipeline.prepare()
                try bytes.withUnsafeBytes {
                    try pipeline.append(
                        UnsafeRawBufferPointer(rebasing: $0[start...].prefix(500_000)))
                }
            }
            try pipeline.endFile()
        case .symlink(let target):
            pipeline.addSymlink(place, target: target, node.metadata)
        case .directory(let entries):
            pipeline.addDirectory(place, node.metadata)
            for entry in entries { try await hand(entry, path + [entry.name], to: pipeline) }
        }
    }
}

/// Packs what an import emits, without storing it.
private final class PlanningSink: BlockSink {
    private var packer: ShardPacker
    private let list = ListNodeBuilder()
    private var seen: Set<CID> = []
    private var shards: [(cid: CID, byteCount: Int, blockCount: Int)] = []
    private var open: ShardPacker.OpenShard?
    private let delaysInnerNodes: Bool
    private var delayed: [(CID, Int)] = []

    init(limit: Int, delaysInnerNodes: Bool) {
        packer = ShardPacker(limit: limit)
        self.delaysInnerNodes = delaysInnerNodes
    }

    func put(_ cid: CID, _ block: BlockBytes) async throws {
        guard seen.insert(cid).inserted else { return }
        if delaysInnerNodes, cid.codec == .dagPB {
            delayed.append((cid, block.byteCount))
            return
        }
        try pack(cid, block.byteCount)
        try packDelayed()
    }

    private func packDelayed() throws {
        for (cid, byteCount) in delayed { try pack(cid, byteCount) }
        delayed = []
    }

    func pack(_ cid: CID, _ byteCount: Int) throws {
        if try packer.add(blockByteCount: byteCount) { closeShard() }
        _ = try list.append(cid)
        open = packer.openShard
    }

    func entryDone(_ entry: ImportedEntry) async throws {}

    func finish() throws -> [(cid: CID, byteCount: Int, blockCount: Int)] {
        try packDelayed()
        closeShard()
        return shards
    }

    private func closeShard() {
        guard let open else { return }
        shards.append((list.finish().root, open.byteCount, open.blockCount))
        self.open = nil
    }
}

extension VectorNode {
    var metadata: EntryMetadata {
        EntryMetadata(
            mode: mode,
            mtime: mtime.map { UnixFSTime(seconds: $0, nanoseconds: mtimeNanoseconds) })
    }
}
