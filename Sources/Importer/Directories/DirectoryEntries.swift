import Multiformats

/// The entries of one open directory: packed records with an index by hash of name.
///
/// A directory too large for memory is spilled: its records go to segments of the store's scratch
/// file, its names to the store's table, and only newly added records are here.
struct DirectoryEntries {
    /// Records in order of arrival, also dead ones.
    private(set) var records: [UInt8] = []
    /// Live records in `records`.
    private(set) var recordCount = 0
    private(set) var totals = DirectoryTotals()
    private(set) var isSpilled = false
    /// The newest segment; each leads to the one before.
    private(set) var lastSegment: UInt64?
    /// Whether names were chosen so that their hashes collide: the index is no use then, and the
    /// directory is better spilled, because spilled names are found by SHA-256.
    private(set) var isCrowded = false
    /// Open addressing by hash: offsets of records, plus 1; empty while there are few records, and
    /// after spilling.
    private var slots: [UInt32] = []

    /// Below this many records a scan is as fast as an index.
    private static let indexedRecordCount = 16
    /// Honest names take a tenth of this at most.
    private static let probeLimit = 500

    init() {}

    /// A closed directory again, without its records.
    init(_ closed: ClosedDirectory) {
        totals = closed.totals
        isSpilled = closed.isSpilled
        lastSegment = isSpilled ? closed.lastSegment : nil
    }

    var byteCount: Int { records.count + slots.count * MemoryLayout<UInt32>.stride }

    // MARK: - Names

    /// The entry of this name among the records in memory.
    func find(
        _ name: [UInt8], hash: UInt64
    ) -> (offset: Int, kind: EntryKind, handle: UInt64)? {
        records.withUnsafeBytes { bytes in
            guard let offset = offset(of: name, hash: hash, in: bytes) else { return nil }
            let record = EntryRecord(in: bytes, at: offset)
            return (offset, record.kind, record.handle)
        }
    }

    private func offset(
        of name: [UInt8], hash: UInt64, in bytes: UnsafeRawBufferPointer
    ) -> Int? {
        func matches(_ record: EntryRecord) -> Bool {
            record.hash == hash && record.isLive && record.name.elementsEqual(name)
        }
        if slots.isEmpty {
            var offset = 0
            while offset < bytes.count {
                let record = EntryRecord(in: bytes, at: offset)
                if matches(record) { return offset }
                offset += record.bytes.count
            }
            return nil
        }
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            let offset = Int(slots[slot]) - 1
            if matches(EntryRecord(in: bytes, at: offset)) { return offset }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    // MARK: - Adding

    /// Adds an entry whose name is new to the directory.
    mutating func append(_ entry: NewEntry) {
        totals.add(entry.link)
        appendRecord(entry)
    }

    /// Adds the new state of an entry; `old` is what it has added to the totals.
    mutating func replace(_ entry: NewEntry, old: LinkMeasure) {
        totals.remove(old)
        totals.add(entry.link)
        guard !isSpilled, let found = find(entry.name, hash: entry.hash) else {
            // The later record of a name wins when the segments are read.
            appendRecord(entry)
            return
        }
        let oldCount = records.withUnsafeBytes {
            EntryRecord(in: $0, at: found.offset).bytes.count
        }
        let newOffset = records.count
        EntryRecord.append(entry, to: &records)
        if records.count - newOffset == oldCount {
            records.withUnsafeMutableBytes {
                let new = UnsafeRawBufferPointer(rebasing: $0[newOffset...])
                UnsafeMutableRawBufferPointer(rebasing: $0[found.offset...]).copyMemory(from: new)
            }
            records.removeLast(oldCount)
        } else {
            EntryRecord.markDead(in: &records, at: found.offset)
            reindex(from: found.offset, to: newOffset, hash: entry.hash)
        }
    }

    /// Takes the live records of a segment back into memory; the totals include them already.
    mutating func load(_ segment: [UInt8]) {
        segment.withUnsafeBytes { bytes in
            records.reserveCapacity(records.count + bytes.count)
            var offset = 0
            while offset < bytes.count {
                let record = EntryRecord(in: bytes, at: offset)
                offset += record.bytes.count
                guard record.isLive else { continue }
                let newOffset = records.count
                records.append(contentsOf: record.bytes)
                recordCount += 1
                index(newOffset, hash: record.hash)
            }
        }
    }

    private mutating func appendRecord(_ entry: NewEntry) {
        let offset = records.count
        EntryRecord.append(entry, to: &records)
        recordCount += 1
        if !isSpilled { index(offset, hash: entry.hash) }
    }

    // MARK: - Spilling

    /// Notes that everything in memory is in `segment` now.
    mutating func didSpill(to segment: UInt64) {
        isSpilled = true
        lastSegment = segment
        records = []
        recordCount = 0
        slots = []
        isCrowded = false
    }

    // MARK: - Index

    private mutating func index(_ offset: Int, hash: UInt64) {
        if slots.isEmpty {
            if recordCount > Self.indexedRecordCount { rebuildIndex(slotCount: 64) }
        } else if recordCount * 2 > slots.count {
            rebuildIndex(slotCount: slots.count * 2)
        } else {
            insert(offset, hash: hash)
        }
    }

    private mutating func rebuildIndex(slotCount: Int) {
        slots = [UInt32](repeating: 0, count: slotCount)
        var offset = 0
        while offset < records.count {
            let (hash, count, isLive) = records.withUnsafeBytes {
                let record = EntryRecord(in: $0, at: offset)
                return (record.hash, record.bytes.count, record.isLive)
            }
            if isLive { insert(offset, hash: hash) }
            offset += count
        }
    }

    private mutating func insert(_ offset: Int, hash: UInt64) {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        var probeCount = 0
        while slots[slot] != 0 {
            slot = (slot + 1) & (slots.count - 1)
            probeCount += 1
        }
        slots[slot] = UInt32(offset + 1)
        if probeCount > Self.probeLimit { isCrowded = true }
    }

    private mutating func reindex(from old: Int, to new: Int, hash: UInt64) {
        if slots.isEmpty { return }
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != UInt32(old + 1) { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = UInt32(new + 1)
    }
}
