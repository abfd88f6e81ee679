import Multiformats
import ShardPlanner

/// A visible root. Its shards are the entries of the upload that committed it.
package struct RootRecord: Equatable, Sendable {
    package var root: CID
    package var options: UploadOptions
    package var clusterDAG: CID
    package var upload: UploadID
    package var shardCount: Int
    package var blockCount: Int
    /// Sum of its shards' block sizes.
    package var payloadByteCount: Int
    /// Bytes of file content below the root, as the coordinator counted them.
    package var contentByteCount: Int
    package var pinnedAt: LogTime
}

/// What makes an upload's root visible.
package struct UploadCommit: Equatable, Sendable {
    package var root: CID
    /// The list node over the shards' CIDs; `apply` computes it again.
    package var clusterDAG: CID
    /// Shards 0 to one below this are the content; later reservations are given back.
    package var shardCount: Int
    /// Bytes of file content, for display.
    package var contentByteCount: Int

    package init(root: CID, clusterDAG: CID, shardCount: Int, contentByteCount: Int) {
        self.root = root
        self.clusterDAG = clusterDAG
        self.shardCount = shardCount
        self.contentByteCount = contentByteCount
    }
}
