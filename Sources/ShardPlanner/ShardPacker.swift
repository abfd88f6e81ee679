/// Why a block cannot be packed.
package enum PackingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The block would not fit even an empty shard: a shard stays strictly below its limit.
    case blockTooLarge(blockByteCount: Int, shardLimitByteCount: Int)

    package var description: String {
        switch self {
        case .blockTooLarge(let block, let limit):
            "a block of \(block) bytes does not fit an empty shard, whose blocks must stay below "
                + "\(limit) bytes in sum; raise the shard size above \(block) or make smaller chunks"
        }
    }
}

/// Cuts a stream of blocks into shards by the rule of ipfs-cluster (`adder/sharding`).
///
/// A block joins the open shard when the shard stays strictly below the limit; otherwise it begins
/// the next one. Only block bytes count. The caller leaves out blocks it has packed before.
package struct ShardPacker: Sendable {
    /// The shard that takes the next block if it fits.
    package struct OpenShard: Equatable, Sendable {
        /// Place of the shard in its upload, from 0.
        package var number: Int
        /// Sum of its block sizes, in bytes.
        package var byteCount: Int
        package var blockCount: Int
    }

    /// Default sum of block sizes that a shard stays below: 100 MiB, as in ipfs-cluster.
    package static let defaultLimitByteCount = 104_857_600
    /// The most blocks a list node with one indirect level can name.
    package static let maximumBlockCount = ListNode.maximumLinks * ListNode.maximumLinks

    /// Sum of block sizes that a shard stays below, in bytes; `nil` for no limit.
    package let limitByteCount: Int?
    /// `nil` until the first block.
    package private(set) var openShard: OpenShard?

    /// - Parameter limit: Sum of block sizes that a shard stays below, in bytes; `nil` for one
    ///   shard without a limit of size.
    package init(limit: Int? = defaultLimitByteCount) {
        precondition(limit.map { $0 > 0 } ?? true, "a shard limit is positive")
        limitByteCount = limit
    }

    /// Packs one block.
    ///
    /// - Returns: Whether the block begins a new shard; always true for the first block.
    /// - Throws: `blockTooLarge` when it would not fit an empty shard; nothing has changed then.
    package mutating func add(blockByteCount: Int) throws(PackingError) -> Bool {
        if let limitByteCount, blockByteCount >= limitByteCount {
            throw .blockTooLarge(
                blockByteCount: blockByteCount, shardLimitByteCount: limitByteCount)
        }
        if let shard = openShard, joins(shard, blockByteCount) {
            openShard?.byteCount += blockByteCount
            openShard?.blockCount += 1
            return false
        }
        openShard = OpenShard(
            number: openShard.map { $0.number + 1 } ?? 0, byteCount: blockByteCount, blockCount: 1)
        return true
    }

    private func joins(_ shard: OpenShard, _ blockByteCount: Int) -> Bool {
        guard shard.blockCount < Self.maximumBlockCount else { return false }
        guard let limitByteCount else { return true }
        return shard.byteCount + blockByteCount < limitByteCount
    }
}
