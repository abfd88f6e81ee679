import Multiformats
import ShardPlanner

extension Int: WireValue {
    var wire: CBOR { .integer(Int64(self)) }

    init(wire: CBOR) throws(WireError) {
        guard let value = wire.integerValue else { throw .badValue(what: "a number") }
        self = Int(value)
    }
}

extension Bool: WireValue {
    var wire: CBOR { .bool(self) }

    init(wire: CBOR) throws(WireError) {
        guard let value = wire.boolValue else { throw .badValue(what: "a truth value") }
        self = value
    }
}

extension String: WireValue {
    var wire: CBOR { .string(self) }

    init(wire: CBOR) throws(WireError) {
        guard let value = wire.stringValue else { throw .badValue(what: "a text") }
        self = value
    }
}

extension Array: WireValue where Element: WireValue {
    var wire: CBOR { .array(map(\.wire)) }

    init(wire: CBOR) throws(WireError) {
        guard let items = wire.arrayValue else { throw .badValue(what: "a list") }
        self = []
        reserveCapacity(items.count)
        for item in items { append(try Element(wire: item)) }
    }
}

extension CID: WireValue {
    var wire: CBOR { .cid(self) }

    init(wire: CBOR) throws(WireError) {
        guard let value = wire.cidValue else { throw .badValue(what: "a CID") }
        self = value
    }
}

extension PeerID: WireValue {
    var wire: CBOR { .bytes(publicKey) }

    init(wire: CBOR) throws(WireError) {
        guard let bytes = wire.bytesValue, let peer = try? PeerID(publicKey: bytes) else {
            // Only the length can be wrong, and this error says as much.
            throw .badValue(what: "a peer ID")
        }
        self = peer
    }
}

extension UploadID: WireValue {
    var wire: CBOR { .bytes(bytes) }

    init(wire: CBOR) throws(WireError) {
        guard let bytes = wire.bytesValue, let id = UploadID(bytes: bytes) else {
            throw .badValue(what: "an upload ID")
        }
        self = id
    }
}

extension StorageID: WireValue {
    var wire: CBOR { .bytes(bytes) }

    init(wire: CBOR) throws(WireError) {
        guard let bytes = wire.bytesValue, let id = StorageID(bytes: bytes) else {
            throw .badValue(what: "a storage ID")
        }
        self = id
    }
}

extension LogIndex: WireValue {
    var wire: CBOR { .unsigned(rawValue) }

    init(wire: CBOR) throws(WireError) {
        guard let value = wire.unsignedValue else { throw .badValue(what: "a log index") }
        self.init(rawValue: value)
    }
}

extension LogTime: WireValue {
    var wire: CBOR { .unsigned(millisecondsSinceEpoch) }

    init(wire: CBOR) throws(WireError) {
        guard let value = wire.unsignedValue else { throw .badValue(what: "a log time") }
        self.init(millisecondsSinceEpoch: value)
    }
}

extension PeerStatus: WireValue {
    /// Null while the peer is up, else since when it is down.
    var wire: CBOR {
        switch self {
        case .up: .null
        case .down(let since): since.wire
        }
    }

    init(wire: CBOR) throws(WireError) {
        self = wire.isNull ? .up : .down(since: try LogTime(wire: wire))
    }
}

extension VerdictCounts: WireValue {
    var wire: CBOR {
        [noRoom, draining, down, notAllowed, excluded, notNeeded].wire
    }

    init(wire: CBOR) throws(WireError) {
        let numbers = try [Int](wire: wire)
        guard numbers.count == 6 else { throw .badValue(what: "verdict counts") }
        self.init()
        noRoom = numbers[0]
        draining = numbers[1]
        down = numbers[2]
        notAllowed = numbers[3]
        excluded = numbers[4]
        notNeeded = numbers[5]
    }
}

extension AllocationPolicy: WireValue {
    var wire: CBOR { .array([replicationMin.wire, replicationMax.wire, userAllocations.wire]) }

    init(wire: CBOR) throws(WireError) {
        guard let items = wire.arrayValue else { throw .badValue(what: "an allocation policy") }
        var arguments = ArgumentReader(items, "an allocation policy")
        let minimum: Int = try arguments.take()
        let maximum: Int = try arguments.take()
        let allowed: [PeerID] = try arguments.take()
        try arguments.finish()
        do {
            try self.init(
                replicationMin: minimum, replicationMax: maximum, userAllocations: allowed)
        } catch {
            throw .badValue(what: "an allocation policy")
        }
        // The policy sorts its peers; a command has one form only.
        guard userAllocations == allowed else { throw .badValue(what: "an allocation policy") }
    }
}

extension PinMetadata: WireValue {
    /// A list of pairs: as keys of a map, user text could pass for a link in DAG-JSON.
    var wire: CBOR { .array(entries.map { [$0.key, $0.value].wire }) }

    init(wire: CBOR) throws(WireError) {
        guard let pairs = wire.arrayValue else { throw .badValue(what: "metadata") }
        var entries: [Entry] = []
        for pair in pairs {
            let texts = try [String](wire: pair)
            guard texts.count == 2 else { throw .badValue(what: "metadata") }
            let previous = entries.last?.key.utf8
            guard previous?.lexicographicallyPrecedes(texts[0].utf8) ?? true else {
                throw .badValue(what: "metadata")
            }
            entries.append(Entry(key: texts[0], value: texts[1]))
        }
        self.init(entries)
    }
}

extension ShardDescription: WireValue {
    var wire: CBOR {
        var fields = FieldWriter()
        fields.put("cid", cid)
        fields.put("blocks", blockCount)
        fields.put("payload", payloadByteCount)
        fields.put("file", fileByteCount)
        fields.put("depth", depth)
        return fields.wire
    }

    init(wire: CBOR) throws(WireError) {
        var fields = try FieldReader(wire, "shard description")
        cid = try fields.take("cid")
        blockCount = try fields.takeCount("blocks")
        payloadByteCount = try fields.takeCount("payload")
        fileByteCount = try fields.takeCount("file")
        depth = try fields.takeCount("depth")
        try fields.finish()
    }
}

extension Receipt: WireValue {
    var wire: CBOR {
        var fields = FieldWriter()
        fields.put("peer", peer)
        fields.put("storage", storageID)
        fields.put("generation", generation)
        fields.put("file", fileByteCount)
        return fields.wire
    }

    init(wire: CBOR) throws(WireError) {
        var fields = try FieldReader(wire, "receipt")
        peer = try fields.take("peer")
        storageID = try fields.take("storage")
        generation = try fields.takeCount("generation")
        fileByteCount = try fields.takeCount("file")
        try fields.finish()
    }
}

extension AllocationShortfall: WireValue {
    var wire: CBOR {
        .array([
            shardByteCount.wire, required.wire, found.wire, counts.wire, largestFreeByteCount.wire,
        ])
    }

    init(wire: CBOR) throws(WireError) {
        guard let items = wire.arrayValue else { throw .badValue(what: "a shortfall") }
        var arguments = ArgumentReader(items, "a shortfall")
        let shard: Int = try arguments.take()
        let required: Int = try arguments.take()
        let found: Int = try arguments.take()
        let counts: VerdictCounts = try arguments.take()
        let largest: Int = try arguments.take()
        try arguments.finish()
        self.init(
            shardByteCount: shard, required: required, found: found, counts: counts,
            largestFreeByteCount: largest)
    }
}

extension UploadOptions: WireValue {
    var wire: CBOR {
        var fields = FieldWriter()
        fields.put("name", name)
        fields.put("policy", policy)
        fields.put("shardLimit", optional: shardLimitByteCount)
        fields.put("expireAt", optional: expireAt)
        fields.put("metadata", metadata)
        fields.put("origins", optional: origins.isEmpty ? nil : origins)
        fields.put("mode", Int(mode.rawValue))
        fields.put("coordinator", coordinator)
        fields.put("expected", optional: expectedByteCount)
        return fields.wire
    }

    init(wire: CBOR) throws(WireError) {
        var fields = try FieldReader(wire, "upload options")
        name = try fields.take("name")
        policy = try fields.take("policy")
        shardLimitByteCount = try fields.takeOptional("shardLimit")
        expireAt = try fields.takeOptional("expireAt")
        metadata = try fields.take("metadata")
        origins = try fields.takeOptional("origins") ?? []
        let number = try fields.takeCount("mode")
        guard let mode = UInt8(exactly: number).flatMap(PinMode.init(rawValue:)) else {
            throw .badValue(what: "upload options.mode")
        }
        self.mode = mode
        coordinator = try fields.take("coordinator")
        expectedByteCount = try fields.takeOptional("expected")
        try fields.finish()
        guard shardLimitByteCount ?? 0 >= 0, expectedByteCount ?? 0 >= 0 else {
            throw .badValue(what: "upload options")
        }
    }
}
