import Multiformats
import ShardPlanner

/// The way back from rows.
extension PinsetState {
    /// Restores a state from all its rows, in any order.
    ///
    /// - Throws: `newerVersion` for rows of a newer program, another error for rows that make no
    ///   state.
    package init(rows: some Sequence<StateRow>) throws(WireError) {
        var header: CBOR?
        var requestEntries: [RequestMemory.Entry] = []
        var entries: [UploadID: [Int: Manifest.Entry]] = [:]
        self.init()
        for row in rows {
            let value = try Wire.decode(row.value)
            switch row.table {
            case .header: header = value
            case .peer:
                let peer = try RowKey.decodePeer(row.key)
                peers[peer] = try PeerRecord(peer, rowValue: value)
            case .upload:
                let id = try RowKey.decodeUpload(row.key)
                uploads[id] = try UploadRecord(id, rowValue: value)
            case .uploadShard:
                let use = try RowKey.decodeEntry(row.key)
                entries[use.upload, default: [:]][use.number] = try Manifest.Entry(rowValue: value)
            case .shard:
                shards[try RowKey.decodeCID(row.key)] = try ShardRecord(rowValue: value)
            case .root:
                let root = try RowKey.decodeCID(row.key)
                roots[root] = try RootRecord(root, rowValue: value)
            case .drop:
                let key = try RowKey.decodeDrop(row.key)
                drops[key.peer, default: [:]][key.shard] = try DropRecord(rowValue: value)
            case .request:
                let index = try RowKey.decodeRequest(row.key)
                requestEntries.append(try RequestMemory.Entry(index, rowValue: value))
            }
        }
        guard let header else { throw .badValue(what: "state without a header row") }
        try restoreHeader(header, requestEntries)
        try restoreManifests(entries)
        try restoreDerived()
        dirty = DirtyRows()
    }

    private mutating func restoreHeader(
        _ header: CBOR, _ requestEntries: [RequestMemory.Entry]
    ) throws(WireError) {
        let format = header["format"]?.unsignedValue ?? 0
        guard format <= Self.formatVersion else {
            throw .newerVersion(what: "state", found: format, newest: Self.formatVersion)
        }
        var fields = try FieldReader(header, "header row")
        guard try fields.takeCount("format") == Int(Self.formatVersion) else {
            throw .badValue(what: "header row.format")
        }
        appliedIndex = try fields.take("applied")
        // SQLite has no larger numbers.
        guard appliedIndex.rawValue <= Int64.max else {
            throw .badValue(what: "header row.applied")
        }
        logTime = try fields.take("time")
        rulesVersion = try fields.takeCount("rules")
        guard rulesVersion <= AllocationRules.version else {
            throw .newerVersion(
                what: "placement rules", found: UInt64(rulesVersion),
                newest: UInt64(AllocationRules.version))
        }
        lastGeneration = try fields.takeCount("generation")
        let limit = try fields.takeCount("requestLimit")
        guard limit >= 1, requestEntries.count <= limit else {
            throw .badValue(what: "header row.requestLimit")
        }
        requests = RequestMemory(
            limit: limit, forgottenThrough: try fields.take("forgottenThrough"),
            entries: requestEntries)
        try fields.finish()
    }

    private mutating func restoreManifests(
        _ entries: [UploadID: [Int: Manifest.Entry]]
    ) throws(WireError) {
        for upload in uploads.values where upload.isOpen {
            openUploads.insert(upload.id)
            manifests[upload.id] = Manifest(policy: upload.options.policy)
        }
        for root in roots.values {
            guard manifests[root.upload] == nil else {
                throw .badValue(what: "root row: an upload with two roots")
            }
            manifests[root.upload] = Manifest(policy: root.options.policy, root: root.root)
        }
        for (id, numbered) in entries {
            guard manifests[id] != nil else {
                throw .badValue(what: "upload shard row of no upload")
            }
            for number in 0..<numbered.count {
                guard let entry = numbered[number] else {
                    throw .missingField(what: "upload \(id)", field: "shard \(number)")
                }
                manifests[id]?.entries.append(entry)
            }
        }
    }

    /// - Throws: When a row refers to one that is not there.
    private mutating func restoreDerived() throws(WireError) {
        sortedPeers = peers.keys.sorted()
        for root in roots.values { addRoot(root.root, clusterDAG: root.clusterDAG) }
        endedUploads = uploads.values.filter { !$0.isOpen }.sorted {
            ($0.endedIndex ?? .beforeFirst) < ($1.endedIndex ?? .beforeFirst)
        }.map(\.id)
        for id in manifests.keys.sorted() {
            for (number, entry) in (manifests[id]?.entries ?? []).enumerated() {
                guard case .sealed(let cid) = entry else { continue }
                guard shards[cid] != nil else {
                    throw .missingField(what: "state", field: "shard \(cid)")
                }
                shards[cid]?.uses.append(ShardUse(upload: id, number: number))
            }
        }
        for (cid, shard) in shards {
            guard shard.description.cid == cid else { throw .badValue(what: "shard row") }
            for copy in shard.copies { shardsOnPeer[copy.peer, default: []].insert(cid) }
        }
        let reservedOn = manifests.values.flatMap(\.entries).flatMap { entry -> [PeerID] in
            if case .reserved(let reservation) = entry { reservation.peers } else { [] }
        }
        let named = Set(shardsOnPeer.keys).union(drops.keys).union(reservedOn)
        if let stranger = named.sorted().first(where: { peers[$0] == nil }) {
            throw .missingField(what: "state", field: "peer \(stranger)")
        }
    }
}
