/// An import and how ipfs-cluster's rule cuts its blocks into shards.
package struct ShardPlanVector: Sendable, CustomStringConvertible {
    package struct Shard: Sendable {
        /// CID of the root of the shard's list.
        package let cid: String
        package let firstBlock: String
        package let lastBlock: String
        package let blockCount: Int
        /// Sum of its blocks' sizes.
        package let byteCount: Int
        /// Length of the root of the shard's list.
        package let listRootByteCount: Int
    }

    package let name: String
    /// The plan was measured on ipfs-cluster, whose order of directories and extra blocks differ from
    /// this project's; only the first `fixedShardCount` shards are comparable.
    package let isMeasured: Bool
    package let fixedShardCount: Int?
    package let opts: ImportVectorOptions
    package let shardLimit: Int
    package let root: String
    package let clusterDAG: String
    package let shards: [Shard]
    /// Bytes of the root of the first shard's list.
    package let firstListRoot: [UInt8]
    /// Distinct blocks in emission order; `nil` when there are many.
    package let blockOrder: [(cid: String, byteCount: Int)]?
    private let inputTree: JSONTree

    package init(_ tree: JSONTree) {
        let expect = tree.member("expect")
        name = tree.member("name").text
        isMeasured = tree.member("source").text.hasPrefix("measured")
        fixedShardCount = tree["fixed_shards"]?.integer
        opts = ImportVectorOptions(tree.member("opts"))
        shardLimit = tree.member("shard_limit").integer
        root = expect.member("root").text
        clusterDAG = expect.member("cluster_dag_cid").text
        shards = expect.member("shards").elements.map(Self.shard)
        firstListRoot = expect.member("shard0_node_hex").bytesFromHex
        blockOrder = expect["block_order"]?.elements.map {
            ($0.elements[0].text, $0.elements[1].integer)
        }
        inputTree = tree.member("input")
    }

    package var input: VectorNode { VectorNode(inputTree) }

    package var description: String { name }

    package static let all = VectorFiles.vectors("shardplan").map(ShardPlanVector.init)

    private static func shard(_ tree: JSONTree) -> Shard {
        Shard(
            cid: tree.member("shard_cid").text, firstBlock: tree.member("first").text,
            lastBlock: tree.member("last").text, blockCount: tree.member("n_blocks").integer,
            byteCount: tree.member("size").integer,
            listRootByteCount: tree.member("shard_node_len").integer)
    }
}
