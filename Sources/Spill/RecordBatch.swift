/// Records in one block of memory that grows up to a limit: bytes from the front, their index from
/// the back.
final class RecordBatch {
    private struct Slot {
        /// The first eight bytes, zero-padded, big-endian: decides most comparisons.
        let prefix: UInt64
        let offset: UInt32
        let byteCount: UInt32
    }

    private(set) var count = 0
    private let byteLimit: Int
    private var memory: UnsafeMutableRawBufferPointer
    private var filled = 0

    init(byteLimit: Int) {
        precondition(byteLimit <= Int(UInt32.max), "offsets have 32 bits")
        self.byteLimit = byteLimit & ~15
        memory = .allocate(byteCount: min(self.byteLimit, 64 << 10), alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Copies `record`; returns `false`, changing nothing, when the limit leaves no room for it.
    func append(_ record: UnsafeRawBufferPointer) -> Bool {
        let needed = filled + record.count + (count + 1) * MemoryLayout<Slot>.stride
        guard needed <= byteLimit else { return false }
        if needed > memory.count { grow(to: needed) }
        if let source = record.baseAddress {
            (memory.baseAddress! + filled).copyMemory(from: source, byteCount: record.count)
        }
        count += 1
        slots[0] = Slot(
            prefix: prefix(of: record), offset: UInt32(filled), byteCount: UInt32(record.count))
        filled += record.count
        return true
    }

    func record(_ index: Int) -> UnsafeRawBufferPointer { bytes(of: slots[index]) }

    /// Puts the records in order.
    func sort() {
        var slots = slots
        slots.sort { left, right in
            if left.prefix != right.prefix { return left.prefix < right.prefix }
            return compareRecords(bytes(of: left), bytes(of: right)) < 0
        }
    }

    func removeAll() {
        count = 0
        filled = 0
    }

    /// Gives the memory back; the batch must not be used again.
    func releaseMemory() {
        removeAll()
        memory.deallocate()
        memory = .allocate(byteCount: 0, alignment: 16)
    }

    private var slots: UnsafeMutableBufferPointer<Slot> {
        let byteCount = count * MemoryLayout<Slot>.stride
        return UnsafeMutableRawBufferPointer(rebasing: memory[(memory.count - byteCount)...])
            .bindMemory(to: Slot.self)
    }

    private func bytes(of slot: Slot) -> UnsafeRawBufferPointer {
        let start = Int(slot.offset)
        return UnsafeRawBufferPointer(rebasing: memory[start..<(start + Int(slot.byteCount))])
    }

    private func grow(to needed: Int) {
        var byteCount = memory.count
        while byteCount < needed { byteCount *= 2 }
        byteCount = min(byteCount, byteLimit)
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<filled]))
        let index = UnsafeRawBufferPointer(slots)
        UnsafeMutableRawBufferPointer(rebasing: larger[(byteCount - index.count)...])
            .copyMemory(from: index)
        memory.deallocate()
        memory = larger
    }
}

/// The first eight bytes of `record` as a big-endian number, zero-padded: never orders two records
/// differently from their bytes.
func prefix(of record: UnsafeRawBufferPointer) -> UInt64 {
    if record.count >= 8 { return loadBigEndian(record.baseAddress!) }
    var prefix: UInt64 = 0
    for byte in record { prefix = prefix << 8 | UInt64(byte) }
    return record.isEmpty ? 0 : prefix << UInt64(64 - 8 * record.count)
}

/// Orders records by their bytes, a shorter one before its extensions.
func compareRecords(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let shared = min(left.count, right.count)
    if shared > 0 {
        let order = compareKeys(left.baseAddress!, right.baseAddress!, byteCount: shared)
        if order != 0 { return order }
    }
    return left.count - right.count
}
