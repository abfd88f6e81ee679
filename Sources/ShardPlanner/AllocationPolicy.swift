import Multiformats

/// Why replication factors or allowed peers make no sense.
package enum AllocationPolicyError: Error, Equatable, Sendable, CustomStringConvertible {
    case replicationFactors(min: Int, max: Int)

    package var description: String {
        switch self {
        case .replicationFactors(let min, let max):
            "replication factors \(min) to \(max) make no sense; give a minimum of at least 1 and "
                + "a maximum not below it, or -1 for both to have a copy on every peer"
        }
    }
}

/// How many copies a shard wants and who may hold them; the semantics of ipfs-cluster's
/// replication factors.
package struct AllocationPolicy: Equatable, Sendable {
    /// Stands for a copy on every peer, as minimum and maximum together.
    package static let everywhere = -1

    /// Copies without which a shard is refused; -1 for all peers.
    package let replicationMin: Int
    /// Copies wanted when there is room for them; -1 for all peers.
    package let replicationMax: Int
    /// The only peers that may hold copies, ascending and each once; empty for no restriction.
    package let userAllocations: [PeerID]

    /// - Throws: `replicationFactors` unless both are -1 or 1 ≤ `replicationMin` ≤
    ///   `replicationMax`.
    package init(
        replicationMin: Int = 1, replicationMax: Int = 1, userAllocations: [PeerID] = []
    ) throws(AllocationPolicyError) {
        let everywhere = replicationMin == Self.everywhere && replicationMax == Self.everywhere
        guard everywhere || replicationMin >= 1 && replicationMax >= replicationMin else {
            throw .replicationFactors(min: replicationMin, max: replicationMax)
        }
        self.replicationMin = replicationMin
        self.replicationMax = replicationMax
        self.userAllocations = Set(userAllocations).sorted()
    }

    package var isEverywhere: Bool { replicationMax == Self.everywhere }
}
