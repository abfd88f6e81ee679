/// Why a shard or a whole upload gets no peers. Nothing has been promised then.
package enum AllocationError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooFewPeersWithRoom(AllocationShortfall)
    /// All free space together cannot hold the copies wanted.
    case tooLittleRoom(neededByteCount: Int, copies: Int, freeByteCount: Int)

    package var description: String {
        switch self {
        case .tooFewPeersWithRoom(let shortfall): shortfall.description
        case .tooLittleRoom(let needed, let copies, let free):
            "\(copies) \(copies == 1 ? "copy" : "copies") of \(needed) bytes do not fit the "
                + "\(free) bytes that all peers together have free for them; add a peer or "
                + "capacity, or lower the replication factor"
        }
    }
}

/// The numbers behind a refusal.
package struct AllocationShortfall: Equatable, Sendable, CustomStringConvertible {
    package var shardByteCount: Int
    /// Peers without which the shard is refused.
    package var required: Int
    /// Peers that could take it.
    package var found: Int
    package var counts: VerdictCounts
    /// Free space of the roomiest peer that may take shards, in bytes.
    package var largestFreeByteCount: Int

    package init(
        shardByteCount: Int, required: Int, found: Int, counts: VerdictCounts,
        largestFreeByteCount: Int
    ) {
        self.shardByteCount = shardByteCount
        self.required = required
        self.found = found
        self.counts = counts
        self.largestFreeByteCount = largestFreeByteCount
    }

    package var description: String {
        "shard of \(shardByteCount) \(shardByteCount == 1 ? "byte" : "bytes") needs \(required) "
            + "\(required == 1 ? "peer" : "peers") with room, found \(found) (others: \(counts); "
            + "most free space on one, without what is reserved or kept free: "
            + "\(largestFreeByteCount) bytes); add a peer or capacity, or lower the replication factor"
    }
}
