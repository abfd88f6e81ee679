import Multiformats

/// What a request says about the pin it makes: ipfs-cluster's pin options as query parameters.
package struct PinParameters: Equatable, Sendable {
    /// Kubo's bound on the name of a pin, in bytes.
    package static let maximumNameByteCount = 255
    /// Bytes of all metadata keys and values together; a pin lives in replicated state.
    package static let maximumMetadataByteCount = 16 << 10
    package static let maximumUserAllocationCount = 1024
    package static let maximumOriginCount = 64
    package static let maximumOriginByteCount = 1024
    /// ipfs-cluster's: 100 MiB.
    package static let defaultShardByteLimit = 104_857_600

    package var name = ""
    package var replication = ReplicationFactors()
    /// A block joins a shard while the sum of the block sizes stays below this, in bytes.
    package var shardByteLimit = Self.defaultShardByteLimit
    /// The only peers that may hold copies; empty for no restriction.
    package var userAllocations: [PeerID] = []
    package var expireAt: WallTime?
    package var metadata: [String: String] = [:]
    /// Multiaddresses of peers that have the content; shown again, not used.
    package var origins: [String] = []

    package init() {}

    static let names = [
        "name", "pin-name", "replication", "replication-min", "replication-max", "shard-size",
        "user-allocations", "expire-at", "expire-in", "origins", "pin-update",
    ]
    static let metadataPrefix = "meta-"

    /// Reads the query of a request that makes a pin and nothing else.
    package init(parsing items: [QueryItem], now: WallTime) throws(ParameterError) {
        var reader = try ParameterReader(items)
        try self.init(&reader, now: now)
        if let mode = try reader.text("mode"), mode != "recursive" {
            throw .unsupported(name: "mode", value: mode, advice: "pins are recursive")
        }
        try reader.finish(known: Self.names + ["mode"])
    }

    init(_ reader: inout ParameterReader, now: WallTime) throws(ParameterError) {
        name = try Self.name(&reader)
        replication = try ReplicationFactors(&reader)
        shardByteLimit =
            try reader.number("shard-size", in: 1...Int.max) ?? Self.defaultShardByteLimit
        userAllocations = try Self.userAllocations(&reader)
        expireAt = try Self.expireAt(&reader, now: now)
        metadata = try Self.metadata(&reader)
        origins = try Self.origins(&reader)
        if let value = try reader.text("pin-update") {
            throw .unsupported(
                name: "pin-update", value: value,
                advice: "add or pin the new content, then remove the old pin")
        }
    }

    /// The parameters that differ from the defaults, in an order that is always the same.
    package var queryItems: [QueryItem] {
        var items: [QueryItem] = []
        func add(_ name: String, _ value: String, unless isDefault: Bool) {
            if !isDefault { items.append(QueryItem(name: name, value: value)) }
        }
        add("name", name, unless: name.isEmpty)
        add("replication-min", "\(replication.minimum)", unless: replication.minimum == 0)
        add("replication-max", "\(replication.maximum)", unless: replication.maximum == 0)
        add("shard-size", "\(shardByteLimit)", unless: shardByteLimit == Self.defaultShardByteLimit)
        add(
            "user-allocations", userAllocations.map(\.description).joined(separator: ","),
            unless: userAllocations.isEmpty)
        if let expireAt { add("expire-at", expireAt.description, unless: false) }
        add("origins", origins.joined(separator: ","), unless: origins.isEmpty)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            add(Self.metadataPrefix + key, value, unless: false)
        }
        return items
    }

    // MARK: - One parameter each

    /// `name` of ipfs-cluster, `pin-name` of Kubo.
    private static func name(_ reader: inout ParameterReader) throws(ParameterError) -> String {
        let names = [try reader.text("name"), try reader.text("pin-name")].compactMap { $0 }
        guard let name = names.first else { return "" }
        guard names.count == 1 || names[0] == names[1] else {
            throw .contradiction("name", "pin-name", advice: "give one of them")
        }
        guard name.utf8.count <= maximumNameByteCount, !name.utf8.contains(where: isControl) else {
            throw .invalid(
                name: "name", value: name,
                expected: "at most \(maximumNameByteCount) bytes without control characters")
        }
        return name
    }

    private static func userAllocations(
        _ reader: inout ParameterReader
    ) throws(ParameterError) -> [PeerID] {
        var peers: [PeerID] = []
        let texts = try reader.list("user-allocations")
        guard texts.count <= maximumUserAllocationCount else {
            throw .invalid(
                name: "user-allocations", value: "\(texts.count) peers",
                expected: "at most \(maximumUserAllocationCount)")
        }
        for text in texts {
            guard let peer = try? PeerID(text) else {
                // The reason is the same for every text that is no peer ID: it is none.
                throw .invalid(
                    name: "user-allocations", value: text,
                    expected: "peer IDs such as 12D3KooW… between commas")
            }
            guard !peers.contains(peer) else {
                throw .invalid(
                    name: "user-allocations", value: text, expected: "every peer at most once")
            }
            peers.append(peer)
        }
        return peers
    }

    private static func expireAt(
        _ reader: inout ParameterReader, now: WallTime
    ) throws(ParameterError) -> WallTime? {
        let at = try reader.text("expire-at")
        let span = try reader.text("expire-in")
        if at != nil && span != nil {
            throw .contradiction("expire-at", "expire-in", advice: "give one of them")
        }
        if let at {
            guard let time = WallTime(at) else {
                throw .invalid(
                    name: "expire-at", value: at,
                    expected: "a time as in RFC 3339, such as 2030-01-31T12:00:00Z")
            }
            // ipfs-cluster's client sends Go's zero time for "never".
            if time == .zero { return nil }
            guard time > now else {
                throw .invalid(name: "expire-at", value: at, expected: "a time after \(now)")
            }
            return time
        }
        guard let span else { return nil }
        guard let duration = GoDuration.parse(span), duration >= .seconds(1),
            let time = now.adding(duration)
        else {
            throw .invalid(
                name: "expire-in", value: span,
                expected: "a span of at least one second, such as 72h or 1h30m")
        }
        return time
    }

    private static func metadata(
        _ reader: inout ParameterReader
    ) throws(ParameterError) -> [String: String] {
        var metadata: [String: String] = [:]
        var byteCount = 0
        for (key, value) in reader.prefixed(metadataPrefix) {
            byteCount += key.utf8.count + value.utf8.count
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw .repeated(name: metadataPrefix + key)
            }
        }
        guard byteCount <= maximumMetadataByteCount else {
            throw .invalid(
                name: "meta-…", value: "\(byteCount) bytes",
                expected: "at most \(maximumMetadataByteCount) bytes of keys and values together")
        }
        return metadata
    }

    private static func origins(_ reader: inout ParameterReader) throws(ParameterError) -> [String]
    {
        let origins = try reader.list("origins")
        guard origins.count <= maximumOriginCount else {
            throw .invalid(
                name: "origins", value: "\(origins.count) of them",
                expected: "at most \(maximumOriginCount)")
        }
        for origin in origins
        where !origin.hasPrefix("/") || !origin.contains("/p2p/")
            || origin.utf8.count > maximumOriginByteCount
        {
            throw .invalid(
                name: "origins", value: origin,
                expected: "multiaddresses with a peer ID, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3…"
            )
        }
        return origins
    }
}

/// How many copies are wanted, as asked for: 0 where nothing was said, -1 for a copy on every peer.
package struct ReplicationFactors: Equatable, Sendable {
    package static let everywhere = -1
    package static let maximum = 1000

    package var minimum = 0
    package var maximum = 0

    package init() {}

    /// - Throws: `contradiction` when the minimum is above the maximum or only one is -1; 0 goes
    ///   with anything.
    package init(minimum: Int, maximum: Int) throws(ParameterError) {
        self.minimum = minimum
        self.maximum = maximum
        guard minimum != 0, maximum != 0, minimum != maximum else { return }
        guard minimum != Self.everywhere, maximum != Self.everywhere, minimum < maximum else {
            throw .contradiction(
                "replication-min=\(minimum)", "replication-max=\(maximum)",
                advice: "the minimum may not be above the maximum, and -1 (every peer) is for both")
        }
    }

    init(_ reader: inout ParameterReader) throws(ParameterError) {
        let range = Self.everywhere...Self.maximum
        let both = try reader.number("replication", in: range)
        let minimum = try reader.number("replication-min", in: range)
        let maximum = try reader.number("replication-max", in: range)
        try self.init(minimum: both ?? minimum ?? 0, maximum: both ?? maximum ?? 0)
    }

}

private func isControl(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == 0x7F
}
