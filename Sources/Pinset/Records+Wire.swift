import Multiformats
import ShardPlanner

/// Records as values of rows. The key of a row is not repeated in its value.
extension PeerRecord {
    var rowValue: CBOR {
        var fields = FieldWriter()
        fields.put("name", name)
        fields.put("addresses", addresses)
        fields.put("zone", optional: zone)
        fields.put("host", optional: host)
        fields.put("storage", storageID)
        fields.put("capacity", capacityByteCount)
        fields.put("downSince", status)
        fields.put("draining", isDraining)
        fields.put("used", copiesByteCount)
        fields.put("copies", copyCount)
        fields.put("dropping", droppingByteCount)
        fields.put("reserved", reservedByteCount)
        return fields.wire
    }

    init(_ peer: PeerID, rowValue: CBOR) throws(WireError) {
        var fields = try FieldReader(rowValue, "peer row")
        self.peer = peer
        name = try fields.take("name")
        addresses = try fields.take("addresses")
        zone = try fields.takeOptional("zone")
        host = try fields.takeOptional("host")
        storageID = try fields.take("storage")
        capacityByteCount = try fields.takeCount("capacity")
        status = try fields.take("downSince")
        isDraining = try fields.take("draining")
        copiesByteCount = try fields.takeCount("used")
        copyCount = try fields.takeCount("copies")
        droppingByteCount = try fields.takeCount("dropping")
        reservedByteCount = try fields.takeCount("reserved")
        try fields.finish()
    }
}

extension UploadRecord {
    var rowValue: CBOR {
        var fields = FieldWriter()
        fields.put("options", options)
        fields.put("openedAt", openedAt)
        fields.put("openedIndex", openedIndex)
        fields.put("renewals", renewals)
        fields.put("endedIndex", optional: endedIndex)
        switch phase {
        case .open: break
        case .committed(let root, let at):
            fields.put("committed", root)
            fields.put("endedAt", at)
        case .aborted(let reason, let at):
            fields.put("aborted", reason)
            fields.put("endedAt", at)
        }
        return fields.wire
    }

    init(_ id: UploadID, rowValue: CBOR) throws(WireError) {
        var fields = try FieldReader(rowValue, "upload row")
        self.id = id
        options = try fields.take("options")
        openedAt = try fields.take("openedAt")
        openedIndex = try fields.take("openedIndex")
        renewals = try fields.takeCount("renewals")
        endedIndex = try fields.takeOptional("endedIndex")
        if let endedAt: LogTime = try fields.takeOptional("endedAt") {
            if let root: CID = try fields.takeOptional("committed") {
                phase = .committed(root: root, at: endedAt)
            } else {
                phase = .aborted(reason: try fields.take("aborted"), at: endedAt)
            }
        }
        try fields.finish()
        guard isOpen == (endedIndex == nil) else { throw .badValue(what: "upload row") }
    }
}

extension Manifest.Entry {
    var rowValue: CBOR {
        switch self {
        case .sealed(let cid): return cid.wire
        case .reserved(let reservation):
            var fields = FieldWriter()
            fields.put("bytes", reservation.byteCount)
            fields.put("peers", reservation.peers)
            fields.put("version", reservation.allocationVersion)
            fields.put("decision", reservation.decision)
            return fields.wire
        }
    }

    init(rowValue: CBOR) throws(WireError) {
        if let cid = rowValue.cidValue {
            self = .sealed(cid)
            return
        }
        var fields = try FieldReader(rowValue, "upload shard row")
        let reservation = Reservation(
            byteCount: try fields.takeCount("bytes"), peers: try fields.take("peers"),
            allocationVersion: try fields.takeCount("version"),
            decision: try fields.take("decision"))
        try fields.finish()
        self = .reserved(reservation)
    }
}

extension KeptDecision: WireValue {
    var wire: CBOR {
        var fields = FieldWriter()
        fields.put("index", logIndex)
        fields.put("time", logTime)
        fields.put("upload", upload)
        fields.put("number", shardNumber)
        fields.put("bytes", shardByteCount)
        fields.put("policy", policy)
        fields.put("keeping", keeping)
        fields.put("excluding", excluding)
        fields.put("chosen", chosen)
        fields.put("counts", counts)
        fields.put("input", bytes: inputDigest)
        fields.put("rules", rulesVersion)
        return fields.wire
    }

    init(wire: CBOR) throws(WireError) {
        var fields = try FieldReader(wire, "decision")
        logIndex = try fields.take("index")
        logTime = try fields.take("time")
        upload = try fields.take("upload")
        shardNumber = try fields.takeCount("number")
        shardByteCount = try fields.takeCount("bytes")
        policy = try fields.take("policy")
        keeping = try fields.take("keeping")
        excluding = try fields.take("excluding")
        chosen = try fields.take("chosen")
        counts = try fields.take("counts")
        inputDigest = try fields.takeBytes("input")
        rulesVersion = try fields.takeCount("rules")
        try fields.finish()
    }
}

extension ShardCopy: WireValue {
    var wire: CBOR { .array([peer.wire, generation.wire, fileByteCount.wire]) }

    init(wire: CBOR) throws(WireError) {
        guard let items = wire.arrayValue else { throw .badValue(what: "a copy") }
        var arguments = ArgumentReader(items, "a copy")
        peer = try arguments.take()
        generation = try arguments.take()
        fileByteCount = try arguments.take()
        try arguments.finish()
    }
}

extension ShardRecord {
    var rowValue: CBOR {
        var fields = FieldWriter()
        fields.put("shard", description)
        fields.put("copies", copies)
        fields.put("min", replicationMin)
        fields.put("max", replicationMax)
        fields.put("decision", decision)
        return fields.wire
    }

    init(rowValue: CBOR) throws(WireError) {
        var fields = try FieldReader(rowValue, "shard row")
        self.init(
            description: try fields.take("shard"), copies: try fields.take("copies"),
            replicationMin: try fields.take("min"), replicationMax: try fields.take("max"),
            decision: try fields.take("decision"))
        try fields.finish()
    }
}

extension RootRecord {
    var rowValue: CBOR {
        var fields = FieldWriter()
        fields.put("options", options)
        fields.put("clusterDAG", clusterDAG)
        fields.put("upload", upload)
        fields.put("shards", shardCount)
        fields.put("blocks", blockCount)
        fields.put("payload", payloadByteCount)
        fields.put("content", contentByteCount)
        fields.put("pinnedAt", pinnedAt)
        return fields.wire
    }

    init(_ root: CID, rowValue: CBOR) throws(WireError) {
        var fields = try FieldReader(rowValue, "root row")
        self.root = root
        options = try fields.take("options")
        clusterDAG = try fields.take("clusterDAG")
        upload = try fields.take("upload")
        shardCount = try fields.takeCount("shards")
        blockCount = try fields.takeCount("blocks")
        payloadByteCount = try fields.takeCount("payload")
        contentByteCount = try fields.takeCount("content")
        pinnedAt = try fields.take("pinnedAt")
        try fields.finish()
    }
}

extension DropRecord {
    var rowValue: CBOR {
        .array([
            generation.wire, logIndex.wire,
            .array(pending.map { .array([$0.generation.wire, $0.fileByteCount.wire]) }),
        ])
    }

    init(rowValue: CBOR) throws(WireError) {
        guard let items = rowValue.arrayValue, items.count == 3, let list = items[2].arrayValue
        else { throw .badValue(what: "drop row") }
        generation = try Int(wire: items[0])
        logIndex = try LogIndex(wire: items[1])
        pending = []
        for item in list {
            let numbers = try [Int](wire: item)
            guard numbers.count == 2 else { throw .badValue(what: "drop row") }
            pending.append(Pending(generation: numbers[0], fileByteCount: numbers[1]))
        }
    }
}

extension RequestMemory.Entry {
    var rowValue: CBOR { .array([.bytes(requestID.bytes), .bytes(outcome)]) }

    init(_ logIndex: LogIndex, rowValue: CBOR) throws(WireError) {
        guard let items = rowValue.arrayValue, items.count == 2,
            let requestID = items[0].bytesValue.flatMap(RequestID.init(bytes:)),
            let outcome = items[1].bytesValue
        else { throw .badValue(what: "request row") }
        _ = try Outcome(wire: Wire.decode(outcome))
        self.init(logIndex: logIndex, requestID: requestID, outcome: outcome)
    }
}
