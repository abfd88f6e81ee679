/// The shape of a run's entries: fixed width, key first, no padding.
package struct EntryLayout: Equatable, Sendable {
    package let entryByteCount: Int
    /// Leading bytes that order the entries, at least 8; the first 8 should be uniform.
    package let keyByteCount: Int

    package init(entryByteCount: Int, keyByteCount: Int) {
        precondition(keyByteCount >= 8 && keyByteCount <= entryByteCount, "no room for the key")
        self.entryByteCount = entryByteCount
        self.keyByteCount = keyByteCount
    }
}

/// What must be remembered to search fixed-width entries that lie sorted in a file.
///
/// A small directory says where each value of the key's leading bits begins; inside such a bucket
/// the position is interpolated, so a lookup usually reads one window of the file. Keys that are
/// not uniform fall back to bisection: never more than a logarithmic number of reads.
package struct SortedRun: Sendable {
    package let layout: EntryLayout
    package let entryCount: Int
    /// Offset of the first entry in the file.
    package let byteOffset: UInt64
    /// Index of the first entry of each bucket, and the entry count behind the last.
    private let bucketStarts: [Int]
    /// Bits of a key's first eight bytes below its bucket number.
    private let bucketShift: UInt64

    init(
        layout: EntryLayout, entryCount: Int, byteOffset: UInt64, bucketStarts: [Int],
        bucketShift: UInt64
    ) {
        self.layout = layout
        self.entryCount = entryCount
        self.byteOffset = byteOffset
        self.bucketStarts = bucketStarts
        self.bucketShift = bucketShift
    }

    /// Bytes read at once while searching.
    private static let windowByteCount = 2048
    /// Interpolations tried before bisecting.
    private static let interpolationLimit = 3

    /// Calls `body` with each entry whose key begins with `key`, in order.
    ///
    /// - Parameters:
    ///   - key: The first bytes of a key, at least 8 and at most `layout.keyByteCount` of them.
    ///   - reader: The file that holds the run.
    ///   - body: Gets the entry's bytes, valid during the call only.
    package func forEachEntry(
        withKey key: UnsafeRawBufferPointer, in reader: any PositionedReader,
        _ body: (UnsafeRawPointer) throws -> Void
    ) throws {
        guard entryCount > 0 else { return }
        let windowCount = max(1, SortedRun.windowByteCount / layout.entryByteCount)
        try withUnsafeTemporaryAllocation(
            byteCount: windowCount * layout.entryByteCount, alignment: 8
        ) { buffer in
            var window = Window(layout: layout, buffer: buffer)
            var index = try lowerBound(of: key, in: reader, using: &window)
            while index < entryCount {
                if !window.holds(index) {
                    try load(
                        &window, from: index, count: min(windowCount, entryCount - index), reader)
                }
                let entry = window.entry(index)
                guard compareKeys(entry, key.baseAddress!, byteCount: key.count) == 0 else {
                    return
                }
                try body(entry)
                index += 1
            }
        }
    }

    /// Index of the first entry that is not before `key`.
    private func lowerBound(
        of key: UnsafeRawBufferPointer, in reader: any PositionedReader, using window: inout Window
    ) throws -> Int {
        let prefix = loadBigEndian(key.baseAddress!)
        let bucket = Int(prefix >> bucketShift)
        var low = bucketStarts[bucket]
        var high = bucketStarts[bucket + 1]
        var lowPrefix = UInt64(bucket) << bucketShift
        var highPrefix = lowPrefix | (1 << bucketShift &- 1)
        var rounds = 0
        while high - low > window.capacity {
            let share =
                rounds < SortedRun.interpolationLimit && highPrefix > lowPrefix
                ? Double(prefix &- lowPrefix) / Double(highPrefix - lowPrefix) : 0.5
            rounds += 1
            let middle = low + Int(share.clampedToUnit * Double(high - low))
            let start = min(max(middle - window.capacity / 2, low), high - window.capacity)
            try load(&window, from: start, count: window.capacity, reader)
            if compareKeys(window.first, key.baseAddress!, byteCount: key.count) >= 0 {
                high = start
                highPrefix = loadBigEndian(window.first)
            } else if compareKeys(window.last, key.baseAddress!, byteCount: key.count) < 0 {
                low = start + window.capacity
                lowPrefix = loadBigEndian(window.last)
            } else {
                return window.lowerBound(of: key, from: start, to: start + window.capacity)
            }
        }
        guard low < high else { return low }
        if !(window.holds(low) && window.holds(high - 1)) {
            try load(&window, from: low, count: high - low, reader)
        }
        return window.lowerBound(of: key, from: low, to: high)
    }

    private func load(
        _ window: inout Window, from index: Int, count: Int, _ reader: any PositionedReader
    ) throws {
        let bytes = window.prepare(from: index, count: count)
        try reader.read(at: byteOffset + UInt64(index * layout.entryByteCount), into: bytes)
    }
}

/// Some neighbouring entries of a run, copied into memory.
private struct Window {
    let layout: EntryLayout
    let buffer: UnsafeMutableRawBufferPointer
    let capacity: Int
    private var start = 0
    private var count = 0

    init(layout: EntryLayout, buffer: UnsafeMutableRawBufferPointer) {
        self.layout = layout
        self.buffer = buffer
        capacity = buffer.count / layout.entryByteCount
    }

    var first: UnsafeRawPointer { entry(start) }
    var last: UnsafeRawPointer { entry(start + count - 1) }

    func holds(_ index: Int) -> Bool { index >= start && index < start + count }

    func entry(_ index: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(buffer.baseAddress! + (index - start) * layout.entryByteCount)
    }

    /// The bytes to fill for `count` entries from `index` on.
    mutating func prepare(from index: Int, count: Int) -> UnsafeMutableRawBufferPointer {
        start = index
        self.count = count
        return UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * layout.entryByteCount)])
    }

    /// Index of the first of the entries `low..<high`, all held, that is not before `key`.
    func lowerBound(of key: UnsafeRawBufferPointer, from low: Int, to high: Int) -> Int {
        var (low, high) = (low, high)
        while low < high {
            let middle = (low + high) / 2
            if compareKeys(entry(middle), key.baseAddress!, byteCount: key.count) < 0 {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}

extension Double {
    fileprivate var clampedToUnit: Double { self < 0 ? 0 : self > 1 ? 1 : self }
}

/// Compares `byteCount` bytes as memcmp does, eight at a time.
func compareKeys(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, byteCount: Int) -> Int {
    var offset = 0
    while offset + 8 <= byteCount {
        let (leftWord, rightWord) = (loadBigEndian(left + offset), loadBigEndian(right + offset))
        if leftWord != rightWord { return leftWord < rightWord ? -1 : 1 }
        offset += 8
    }
    while offset < byteCount {
        let leftByte = left.load(fromByteOffset: offset, as: UInt8.self)
        let rightByte = right.load(fromByteOffset: offset, as: UInt8.self)
        if leftByte != rightByte { return leftByte < rightByte ? -1 : 1 }
        offset += 1
    }
    return 0
}
