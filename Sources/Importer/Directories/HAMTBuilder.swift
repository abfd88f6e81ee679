import Multiformats

/// Builds a sharded directory from entries in the order of their hashes, with one open shard per
/// level (UnixFS specification, HAMT; boxo, `ipld/unixfs/hamt`).
///
/// An entry belongs as deep as it shares slots with its nearest neighbour, so it waits until the
/// next one is known.
struct HAMTBuilder {
    private let fanout: Int
    private let bitsPerLevel: Int
    /// Levels that 64 bits of hash are enough for.
    private let levelLimit: Int
    private let slotDigitCount: Int
    /// From the root down to the shard that the last entry went into.
    private var shards: [OpenShard] = []
    /// The last entry, not yet in a shard.
    private var waiting: [UInt8] = []

    private struct OpenShard {
        var links: [UInt8] = []
        /// A bit for each used slot, the highest first.
        var bitfield: [UInt8]
        var childrenByteCount: UInt64 = 0

        init(fanout: Int) { bitfield = [UInt8](repeating: 0, count: fanout / 8) }

        mutating func use(slot: Int) {
            bitfield[bitfield.count - 1 - slot / 8] |= 1 << UInt8(slot % 8)
        }
    }

    init(fanout: Int) {
        self.fanout = fanout
        bitsPerLevel = fanout.trailingZeroBitCount
        levelLimit = 64 / bitsPerLevel
        slotDigitCount = (bitsPerLevel + 3) / 4
    }

    /// Adds the next entry; its hash is not below the last one's.
    ///
    /// - Throws: `shardTooDeep` when no level tells it from the last entry.
    mutating func append(
        _ record: EntryRecord, emitter: inout BlockEmitter
    ) throws(ImportError) {
        if waiting.isEmpty {
            shards.append(OpenShard(fanout: fanout))
        } else {
            let sharedLevels = sharedLevels(waitingHash, record.hash)
            guard sharedLevels < levelLimit else {
                throw .shardTooDeep(path: emitter.owner, name: Array(record.name))
            }
            placeWaiting(atLevel: max(shards.count - 1, sharedLevels))
            try close(downTo: sharedLevels, emitter: &emitter)
        }
        waiting.removeAll(keepingCapacity: true)
        waiting.append(contentsOf: record.bytes)
    }

    /// Closes all shards.
    ///
    /// - Precondition: at least one entry was added.
    mutating func finish(
        metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        placeWaiting(atLevel: shards.count - 1)
        try close(downTo: 0, emitter: &emitter)
        return try emit(shards[0], metadata: metadata, emitter: &emitter)
    }

    private var waitingHash: UInt64 {
        waiting.withUnsafeBytes { EntryRecord(in: $0, at: 0).hash }
    }

    /// How many slots from the root on two hashes have in common.
    private func sharedLevels(_ first: UInt64, _ second: UInt64) -> Int {
        min((first ^ second).leadingZeroBitCount / bitsPerLevel, levelLimit)
    }

    private func slot(of hash: UInt64, atLevel level: Int) -> Int {
        Int(truncatingIfNeeded: hash >> UInt64(64 - (level + 1) * bitsPerLevel)) & (fanout - 1)
    }

    private mutating func placeWaiting(atLevel level: Int) {
        while shards.count <= level { shards.append(OpenShard(fanout: fanout)) }
        waiting.withUnsafeBytes { bytes in
            let record = EntryRecord(in: bytes, at: 0)
            let slot = slot(of: record.hash, atLevel: level)
            shards[level].use(slot: slot)
            shards[level].childrenByteCount += record.tsize
            slotName(slot).withUnsafeBytes {
                DirectoryLink.append(
                    cid: record.cid, namePrefix: $0, name: record.name, tsize: record.tsize,
                    to: &shards[level].links)
            }
        }
    }

    /// Closes the shards below `level`, each into the one above it.
    private mutating func close(
        downTo level: Int, emitter: inout BlockEmitter
    ) throws(ImportError) {
        while shards.count - 1 > level {
            let shard = try emit(
                shards.removeLast(), metadata: .none, emitter: &emitter)
            let parent = shards.count - 1
            let slot = slot(of: waitingHash, atLevel: parent)
            shards[parent].use(slot: slot)
            shards[parent].childrenByteCount += shard.cumulativeByteCount
            DagPB.appendLink(
                shard.cid, name: slotName(slot), tsize: shard.cumulativeByteCount,
                to: &shards[parent].links)
        }
    }

    private func emit(
        _ shard: OpenShard, metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        let message = UnixFSEncoding.shardMessage(bitfield: shard.bitfield, metadata: metadata)
        return try emitter.emit(
            UnixFSEncoding.block(links: shard.links, message: message),
            childrenByteCount: shard.childrenByteCount)
    }

    /// The slot in upper-case hexadecimal, as wide as the highest one.
    private func slotName(_ slot: Int) -> [UInt8] {
        (0..<slotDigitCount).reversed().map { digit in
            let value = UInt8(slot >> (digit * 4) & 0xf)
            return value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
        }
    }
}
