import Multiformats
import ShardPlanner

/// The state as rows: what a command changed, and all of it.
extension PinsetState {
    /// What changed since the last call, in order of table and key. The owner saves it in one
    /// transaction before it tells anyone an outcome.
    package mutating func drainChanges() -> [RowChange] {
        defer { dirty = DirtyRows() }
        var changes: [RowChange] = []
        if dirty.header { changes.append(.upsert(headerRow)) }
        append(.peer, dirty.peers, RowKey.peer, { peers[$0]?.rowValue }, to: &changes)
        append(.upload, dirty.uploads, RowKey.upload, { uploads[$0]?.rowValue }, to: &changes)
        append(.uploadShard, dirty.entries, RowKey.entry, { entry($0)?.rowValue }, to: &changes)
        append(.shard, dirty.shards, RowKey.cid, { shards[$0]?.rowValue }, to: &changes)
        append(.root, dirty.roots, RowKey.cid, { roots[$0]?.rowValue }, to: &changes)
        append(
            .drop, dirty.drops, RowKey.drop, { drops[$0.peer]?[$0.shard]?.rowValue }, to: &changes)
        append(
            .request, dirty.requests, RowKey.request, { requests.entry(at: $0)?.rowValue },
            to: &changes)
        return changes
    }

    /// Hands every row to `body`, in order of table and key, without building them all first.
    package func forEachRow<E: Error>(_ body: (StateRow) throws(E) -> Void) throws(E) {
        try body(headerRow)
        try emit(.peer, sortedPeers, RowKey.peer, { peers[$0]?.rowValue }, body)
        try emit(.upload, uploads.keys.sorted(), RowKey.upload, { uploads[$0]?.rowValue }, body)
        for id in manifests.keys.sorted() {
            let uses = (manifests[id]?.entries ?? []).indices.map {
                ShardUse(upload: id, number: $0)
            }
            try emit(.uploadShard, uses, RowKey.entry, { entry($0)?.rowValue }, body)
        }
        try emit(.shard, shards.keys.sorted(), RowKey.cid, { shards[$0]?.rowValue }, body)
        try emit(.root, sortedRoots, RowKey.cid, { roots[$0]?.rowValue }, body)
        for peer in drops.keys.sorted() {
            let keys = (drops[peer] ?? [:]).keys.sorted().map { DropKey(peer: peer, shard: $0) }
            try emit(
                .drop, keys, RowKey.drop, { drops[$0.peer]?[$0.shard]?.rowValue }, body)
        }
        for entry in requests.entries {
            try body(
                StateRow(
                    table: .request, key: RowKey.request(entry.logIndex),
                    value: entry.rowValue.encoded))
        }
    }

    /// SHA-256 over all rows in order: equal states, equal digests, in every process.
    package func digest() -> [UInt8] {
        var digest = RowDigest()
        forEachRow { digest.add($0) }
        return digest.value
    }

    private func entry(_ use: ShardUse) -> Manifest.Entry? {
        guard let entries = manifests[use.upload]?.entries, entries.indices.contains(use.number)
        else { return nil }
        return entries[use.number]
    }

    private var headerRow: StateRow {
        var fields = FieldWriter()
        fields.put("format", Int(Self.formatVersion))
        fields.put("applied", appliedIndex)
        fields.put("time", logTime)
        fields.put("rules", rulesVersion)
        fields.put("generation", lastGeneration)
        fields.put("requestLimit", requests.limit)
        fields.put("forgottenThrough", requests.forgottenThrough)
        return StateRow(table: .header, key: RowKey.header, value: fields.wire.encoded)
    }

    private func append<Key>(
        _ table: StateTable, _ keys: some Sequence<Key>, _ bytes: (Key) -> [UInt8],
        _ value: (Key) -> CBOR?, to changes: inout [RowChange]
    ) {
        let sorted = keys.map { (bytes: bytes($0), key: $0) }.sorted {
            $0.bytes.lexicographicallyPrecedes($1.bytes)
        }
        var last: [UInt8]?
        for (bytes, key) in sorted where bytes != last {
            last = bytes
            let row = value(key).map { StateRow(table: table, key: bytes, value: $0.encoded) }
            changes.append(row.map { .upsert($0) } ?? .delete(table, key: bytes))
        }
    }

    private func emit<Key, E: Error>(
        _ table: StateTable, _ keys: [Key], _ bytes: (Key) -> [UInt8], _ value: (Key) -> CBOR?,
        _ body: (StateRow) throws(E) -> Void
    ) throws(E) {
        for key in keys {
            guard let value = value(key) else { continue }
            try body(StateRow(table: table, key: bytes(key), value: value.encoded))
        }
    }
}
