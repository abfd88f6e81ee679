/// What a pin is for; ipfs-cluster's names.
package enum PinKind: String, CaseIterable, Codable, Sendable {
    case pin
    case meta = "meta-pin"
    case clusterDAG = "clusterdag-pin"
    case shard = "shard-pin"
}

/// A pin as `GET /allocations` lists it, with ipfs-cluster's field names.
package struct PinDocument: Equatable, Sendable {
    package var replicationFactorMin = 0
    package var replicationFactorMax = 0
    package var name = ""
    /// How it is pinned: `recursive` or `direct`.
    package var mode = "recursive"
    /// Sum of the sizes of the shard's blocks in a shard pin, the limit in other pins; in bytes.
    package var shardSize: UInt64 = 0
    package var userAllocations: [String] = []
    /// Nil for never.
    package var expireAt: WallTime?
    package var metadata: [String: String] = [:]
    package var pinUpdate: String?
    package var origins: [String] = []
    package var cid: String
    package var type: PinKind
    package var allocations: [String] = []
    /// Levels below the CID that are pinned; -1 for all.
    package var maxDepth = -1
    /// The cluster DAG of a meta pin, the root of a cluster DAG, the shard before a shard.
    package var reference: String?
    /// When the pin was made.
    package var timestamp = WallTime.zero

    package init(cid: String, type: PinKind) {
        self.cid = cid
        self.type = type
    }
}

extension PinDocument: Codable {
    private enum CodingKeys: String, CodingKey {
        case name, mode, metadata, origins, cid, type, allocations, reference, timestamp
        case replicationFactorMin = "replication_factor_min"
        case replicationFactorMax = "replication_factor_max"
        case shardSize = "shard_size"
        case userAllocations = "user_allocations"
        case expireAt = "expire_at"
        case pinUpdate = "pin_update"
        case maxDepth = "max_depth"
    }

    /// Every field is there, absent CIDs as null and an absent expiry as Go's zero time, because
    /// clients of ipfs-cluster rely on it.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(replicationFactorMin, forKey: .replicationFactorMin)
        try container.encode(replicationFactorMax, forKey: .replicationFactorMax)
        try container.encode(name, forKey: .name)
        try container.encode(mode, forKey: .mode)
        try container.encode(shardSize, forKey: .shardSize)
        try container.encode(userAllocations, forKey: .userAllocations)
        try container.encode(expireAt ?? .zero, forKey: .expireAt)
        try container.encode(metadata, forKey: .metadata)
        try container.encode(pinUpdate, forKey: .pinUpdate)
        try container.encode(origins, forKey: .origins)
        try container.encode(cid, forKey: .cid)
        try container.encode(type, forKey: .type)
        try container.encode(allocations, forKey: .allocations)
        try container.encode(maxDepth, forKey: .maxDepth)
        try container.encode(reference, forKey: .reference)
        try container.encode(timestamp, forKey: .timestamp)
    }

    /// Takes null for an empty list, which Go writes.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            cid: try container.decode(String.self, forKey: .cid),
            type: try container.decode(PinKind.self, forKey: .type))
        replicationFactorMin = try container.decode(Int.self, forKey: .replicationFactorMin)
        replicationFactorMax = try container.decode(Int.self, forKey: .replicationFactorMax)
        name = try container.decode(String.self, forKey: .name)
        mode = try container.decode(String.self, forKey: .mode)
        shardSize = try container.decode(UInt64.self, forKey: .shardSize)
        userAllocations =
            try container.decodeIfPresent([String].self, forKey: .userAllocations) ?? []
        let expiry = try container.decodeIfPresent(WallTime.self, forKey: .expireAt)
        expireAt = expiry == .zero ? nil : expiry
        metadata = try container.decodeIfPresent([String: String].self, forKey: .metadata) ?? [:]
        pinUpdate = try container.decodeIfPresent(String.self, forKey: .pinUpdate)
        origins = try container.decodeIfPresent([String].self, forKey: .origins) ?? []
        allocations = try container.decodeIfPresent([String].self, forKey: .allocations) ?? []
        maxDepth = try container.decode(Int.self, forKey: .maxDepth)
        reference = try container.decodeIfPresent(String.self, forKey: .reference)
        timestamp = try container.decode(WallTime.self, forKey: .timestamp)
    }
}
