import Multiformats

/// What `ShardStore` knows of the copies on disk, of who holds on to them, and of who reads.
struct ShardStoreState {
    var names: [ShardCopyID: UInt32] = [:]
    var copies: [UInt32: ShardCopyID] = [:]
    var open: [UInt32: ShardFile] = [:]
    /// Serials of open files, least recently used first.
    var recency: [UInt32] = []
    /// Copies whose upload does not know yet whether they are held: nobody removes them.
    var claims: [ShardCopyID: Int] = [:]
    /// Number of the last claim on a copy; claims are counted through the life of the store.
    var lastClaim: [ShardCopyID: UInt64] = [:]
    var claimCount: UInt64 = 0
    var nextSerial: UInt32 = 0
    var lastHit: UInt32?
    /// Damaged copies: their blocks cannot be found before the next start.
    var unusable: Set<UInt32> = []
    /// Copies of which something is known to be damaged; the same shard replaces them when it comes again.
    var damaged: Set<UInt32> = []
    /// Sealed copies that belong to a committed root, so that their blocks may be read.
    var readable: Set<UInt32> = []
    /// Reads under way, by number.
    var reads: Set<UInt64> = []
    var nextRead: UInt64 = 0
    /// Removals that wait for older reads: the number of the first read they need not wait for.
    var waiting: [ShardRemoval: UInt64] = [:]

    mutating func claim(_ copy: ShardCopyID) {
        claims[copy, default: 0] += 1
        claimCount += 1
        lastClaim[copy] = claimCount
    }

    /// - Returns: How many claims are left.
    @discardableResult
    mutating func unclaim(_ copy: ShardCopyID) -> Int {
        let left = (claims[copy] ?? 1) - 1
        claims[copy] = left > 0 ? left : nil
        return left
    }

    /// The file of a copy was replaced by a good one of the same content.
    mutating func replaced(_ serial: UInt32) {
        damaged.remove(serial)
        unusable.remove(serial)
        open[serial] = nil
        recency.removeAll { $0 == serial }
    }

    /// Brings back a copy whose file could not be removed; its blocks stay hidden.
    mutating func remember(_ forgotten: ForgottenCopy) {
        names[forgotten.copy] = forgotten.serial
        copies[forgotten.serial] = forgotten.copy
        lastClaim[forgotten.copy] = forgotten.lastClaim
    }

    /// Takes a copy out of everything that leads to it; its file is still there.
    mutating func forget(_ copy: ShardCopyID) -> ForgottenCopy? {
        guard let serial = names.removeValue(forKey: copy) else { return nil }
        copies[serial] = nil
        readable.remove(serial)
        unusable.remove(serial)
        damaged.remove(serial)
        recency.removeAll { $0 == serial }
        if lastHit == serial { lastHit = nil }
        return ForgottenCopy(
            copy: copy, serial: serial, open: open.removeValue(forKey: serial),
            lastClaim: lastClaim.removeValue(forKey: copy))
    }
}

/// A copy whose file is about to be removed.
struct ForgottenCopy {
    let copy: ShardCopyID
    let serial: UInt32
    /// Its file, when that is open.
    let open: ShardFile?
    /// Number of the last claim on it.
    let lastClaim: UInt64?
}

/// Copies that are to go: those of a shard that are older than a generation.
struct ShardRemoval: Hashable {
    let shard: CID
    let generation: Int
}
