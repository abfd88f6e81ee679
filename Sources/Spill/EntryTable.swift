/// One key with its value, as kept in memory.
struct SpillEntry: Comparable {
    var key: SpillKey
    var value: UInt64

    static func < (left: SpillEntry, right: SpillEntry) -> Bool { left.key < right.key }
}

/// An open-addressing hash table in two flat allocations: 40 bytes and one bit a slot.
///
/// Slots are chosen by multiplying instead of masking, so the slot count need not be a power of
/// two and the memory can be what the limit says.
struct EntryTable: ~Copyable {
    private(set) var count = 0
    private let mixer: KeyMixer
    private let entryLimit: Int
    private var slotCount: Int
    private var slots: UnsafeMutablePointer<SpillEntry>
    private var occupied: UnsafeMutablePointer<UInt64>

    /// - Parameter entryLimit: Most entries ever held; the owner empties the table at that point.
    init(entryLimit: Int, mixer: KeyMixer) {
        self.entryLimit = entryLimit
        self.mixer = mixer
        slotCount = EntryTable.slotCount(forEntries: min(entryLimit, 640))
        (slots, occupied) = EntryTable.makeSlots(slotCount)
    }

    deinit {
        slots.deallocate()
        occupied.deallocate()
    }

    var isFull: Bool { count == entryLimit }

    func lookup(_ key: SpillKey) -> UInt64? {
        let slot = slot(of: key)
        return isOccupied(slot) ? slots[slot].value : nil
    }

    /// Sets the value of `key`; there must be room unless the key is present.
    ///
    /// - Returns: The value before, `nil` for a new key.
    mutating func update(_ key: SpillKey, _ value: UInt64) -> UInt64? {
        var slot = slot(of: key)
        if isOccupied(slot) {
            defer { slots[slot].value = value }
            return slots[slot].value
        }
        precondition(count < entryLimit, "a full table must be emptied first")
        if (count + 1) * 8 > slotCount * 5 {
            grow()
            slot = self.slot(of: key)
        }
        put(SpillEntry(key: key, value: value), at: slot)
        return nil
    }

    /// Hands all entries out in key order and leaves the table empty, whether `body` throws or not.
    mutating func drainSorted(
        _ body: (UnsafeMutableBufferPointer<SpillEntry>) throws -> Void
    ) rethrows {
        var filled = 0
        for slot in 0..<slotCount where isOccupied(slot) {
            slots[filled] = slots[slot]
            filled += 1
        }
        let entries = UnsafeMutableBufferPointer(start: slots, count: filled)
        sortByKey(entries)
        defer { removeAll() }
        try body(entries)
    }

    mutating func removeAll() {
        occupied.update(repeating: 0, count: slotCount / 64 + 1)
        count = 0
    }

    // MARK: Slots

    /// The slot that holds `key`, or the free one where it belongs.
    private func slot(of key: SpillKey) -> Int {
        var slot = Int(mixer.hash(key).multipliedFullWidth(by: UInt64(slotCount)).high)
        while isOccupied(slot), slots[slot].key != key {
            slot += 1
            if slot == slotCount { slot = 0 }
        }
        return slot
    }

    private func isOccupied(_ slot: Int) -> Bool {
        occupied[slot >> 6] & (1 << UInt64(slot & 63)) != 0
    }

    private mutating func put(_ entry: SpillEntry, at slot: Int) {
        (slots + slot).initialize(to: entry)
        occupied[slot >> 6] |= 1 << UInt64(slot & 63)
        count += 1
    }

    private mutating func grow() {
        let (oldSlots, oldOccupied, oldSlotCount) = (slots, occupied, slotCount)
        slotCount = EntryTable.slotCount(forEntries: min(entryLimit, count * 2 + 1))
        (slots, occupied) = EntryTable.makeSlots(slotCount)
        count = 0
        for slot in 0..<oldSlotCount where oldOccupied[slot >> 6] & (1 << UInt64(slot & 63)) != 0 {
            put(oldSlots[slot], at: self.slot(of: oldSlots[slot].key))
        }
        oldSlots.deallocate()
        oldOccupied.deallocate()
    }

    /// At most five eighths of the slots are used.
    private static func slotCount(forEntries entryCount: Int) -> Int { entryCount * 8 / 5 + 2 }

    private static func makeSlots(
        _ slotCount: Int
    ) -> (UnsafeMutablePointer<SpillEntry>, UnsafeMutablePointer<UInt64>) {
        let occupied = UnsafeMutablePointer<UInt64>.allocate(capacity: slotCount / 64 + 1)
        occupied.initialize(repeating: 0, count: slotCount / 64 + 1)
        return (.allocate(capacity: slotCount), occupied)
    }
}

/// Sorts in place: one pass puts each entry into the bucket of its leading bits (American flag
/// sort; McIlroy, Bostic, McIlroy: "Engineering radix sort", 1993), then each small bucket is
/// sorted. Uniform keys make the buckets even; others only make it slower.
private func sortByKey(_ entries: UnsafeMutableBufferPointer<SpillEntry>) {
    let bucketBits = 12
    var entries = entries
    guard entries.count >= 1 << bucketBits else { return entries.sort() }
    let bucketCount = 1 << bucketBits
    var ends = [Int](repeating: 0, count: bucketCount)
    for entry in entries { ends[bucket(of: entry)] += 1 }
    var total = 0
    var next = ends.map { count in
        defer { total += count }
        return total
    }
    for bucket in 0..<bucketCount { ends[bucket] += next[bucket] }
    let starts = next

    for current in 0..<bucketCount {
        while next[current] < ends[current] {
            let home = bucket(of: entries[next[current]])
            if home != current { entries.swapAt(next[current], next[home]) }
            next[home] += 1
        }
    }
    for bucket in 0..<bucketCount where ends[bucket] - starts[bucket] > 1 {
        entries[starts[bucket]..<ends[bucket]].sort()
    }

    func bucket(of entry: SpillEntry) -> Int { Int(entry.key.word0 >> UInt64(64 - bucketBits)) }
}
