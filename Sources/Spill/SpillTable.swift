/// An exact map from 32-byte keys to 64-bit values whose memory does not grow with its size.
///
/// New entries go to a hash table. When that is full it is sorted and written to a scratch file as
/// a run; every `mergeFactor` runs of a tier become one of the next, so an entry is rewritten a
/// logarithmic number of times. A lookup asks the memory, then the runs from newest to oldest,
/// most of which a Bloom filter answers. (A log-structured merge tree without a log: O'Neil,
/// Cheng, Gawlick, O'Neil, 1996.)
///
/// Memory: `memoryEntryLimit` x 64 bytes, plus the filters' budget once runs exist, plus 32 KiB a
/// run. After any method has thrown, the table is unusable and throws the same error again.
package final class SpillTable {
    /// Different keys in the table.
    package private(set) var count = 0

    private let scratch: any ScratchSpace
    private let mixer: KeyMixer
    private let filterByteLimit: Int
    private var recent: EntryTable
    /// Tiers of runs: the newest tier first, in each the oldest run first.
    private var tiers: [[StoredRun]] = []
    private var filterByteCount = 0
    private var failure: (any Error)?

    private struct StoredRun {
        let run: SortedRun
        let file: any ScratchFile
        let filter: BloomFilter?

        func lookup(_ key: SpillKey) throws -> UInt64? {
            var value: UInt64?
            try withUnsafeTemporaryAllocation(byteCount: SpillKey.byteCount, alignment: 8) {
                key.store(to: $0.baseAddress!)
                try run.forEachEntry(withKey: UnsafeRawBufferPointer($0), in: file) { entry in
                    value = loadBigEndian(entry + SpillKey.byteCount)
                }
            }
            return value
        }
    }

    private static let mergeFactor = 8
    private static let layout = EntryLayout(entryByteCount: 40, keyByteCount: 32)

    /// - Parameters:
    ///   - scratch: Where runs go; nothing is made there before memory is full.
    ///   - memoryEntryLimit: Entries held in memory before they are written, at least 1.
    ///   - filterByteLimit: Memory for the Bloom filters of all runs together.
    ///   - seed: Keeps whoever chooses the keys from choosing colliding ones; random where keys
    ///     come from outside. It never changes an answer.
    package init(
        scratch: any ScratchSpace, memoryEntryLimit: Int = 1 << 18, filterByteLimit: Int = 16 << 20,
        seed: UInt64 = 0x5eed
    ) {
        precondition(memoryEntryLimit >= 1, "a table needs room for one entry")
        self.scratch = scratch
        self.filterByteLimit = filterByteLimit
        mixer = KeyMixer(seed: seed)
        recent = EntryTable(entryLimit: memoryEntryLimit, mixer: mixer)
    }

    /// Runs now in scratch files.
    package var runCount: Int { tiers.reduce(0) { $0 + $1.count } }

    /// The value of `key`, or `nil` if it was never inserted.
    package func lookup(_ key: SpillKey) throws -> UInt64? {
        if let failure { throw failure }
        if let value = recent.lookup(key) { return value }
        return try noting { try lookupInRuns(key) }
    }

    /// Sets the value of `key`.
    ///
    /// - Returns: The value before, `nil` for a new key.
    @discardableResult
    package func insert(_ key: SpillKey, _ value: UInt64) throws -> UInt64? {
        if let failure { throw failure }
        // A full table takes nothing new, so it is emptied before it is asked.
        if recent.isFull { try noting { try spill() } }
        if let previous = recent.update(key, value) { return previous }
        let previous = try noting { try lookupInRuns(key) }
        if previous == nil { count += 1 }
        return previous
    }

    /// Sets the value of `key` unless it has one.
    ///
    /// - Returns: The value found, which stays; `nil` if `value` was set.
    package func insertIfAbsent(_ key: SpillKey, _ value: UInt64) throws -> UInt64? {
        if let existing = try lookup(key) { return existing }
        if recent.isFull { try noting { try spill() } }
        _ = recent.update(key, value)
        count += 1
        return nil
    }

    /// Calls `body` with every entry, in key order; the table must not change meanwhile.
    package func forEachSorted(_ body: (SpillKey, UInt64) throws -> Void) throws {
        if let failure { throw failure }
        if recent.count > 0 { try noting { try spill() } }
        let cursors = try runsNewestFirst.map { try SortedRunCursor($0.run, in: $0.file) }
        try mergeSortedRuns(cursors, layout: SpillTable.layout) { entry in
            try body(SpillKey(loading: entry), loadBigEndian(entry + SpillKey.byteCount))
        }
    }

    // MARK: Runs

    private var runsNewestFirst: [StoredRun] { tiers.flatMap { $0.reversed() } }

    private func lookupInRuns(_ key: SpillKey) throws -> UInt64? {
        guard !tiers.isEmpty else { return nil }
        let hash = mixer.hash(key)
        for tier in tiers {
            for stored in tier.reversed() where stored.filter?.mayContain(hash) ?? true {
                if let value = try stored.lookup(key) { return value }
            }
        }
        return nil
    }

    /// Moves the memory part into a new run and merges tiers that are full.
    private func spill() throws {
        var writer = try makeWriter(entryCount: recent.count)
        try recent.drainSorted { entries in
            for entry in entries { try writer.append(entry.key, entry.value) }
        }
        add(try writer.finish(), toTier: 0)
        var tier = 0
        while tiers[tier].count == SpillTable.mergeFactor {
            let merged = try merge(tiers[tier])
            filterByteCount -= tiers[tier].reduce(0) { $0 + ($1.filter?.byteCount ?? 0) }
            tiers[tier].removeAll()
            add(merged, toTier: tier + 1)
            tier += 1
        }
    }

    private func add(_ run: (SortedRun, any ScratchFile, BloomFilter?), toTier tier: Int) {
        if tier == tiers.count { tiers.append([]) }
        tiers[tier].append(StoredRun(run: run.0, file: run.1, filter: run.2))
        filterByteCount += run.2?.byteCount ?? 0
    }

    /// - Parameter runs: Oldest first.
    private func merge(
        _ runs: [StoredRun]
    ) throws -> (SortedRun, any ScratchFile, BloomFilter?) {
        var writer = try makeWriter(entryCount: runs.reduce(0) { $0 + $1.run.entryCount })
        let cursors = try runs.reversed().map { try SortedRunCursor($0.run, in: $0.file) }
        try mergeSortedRuns(cursors, layout: SpillTable.layout) { entry in
            try writer.append(
                SpillKey(loading: entry), loadBigEndian(entry + SpillKey.byteCount))
        }
        return try writer.finish()
    }

    private func makeWriter(entryCount: Int) throws -> SpillRunWriter {
        SpillRunWriter(
            layout: SpillTable.layout, file: try scratch.makeFile(), entryCount: entryCount,
            filter: BloomFilter(
                keyCount: entryCount, remainingByteCount: filterByteLimit - filterByteCount),
            mixer: mixer)
    }

    private func noting<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch {
            failure = error
            throw error
        }
    }
}
