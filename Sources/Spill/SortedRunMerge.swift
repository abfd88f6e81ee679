/// Reads a run's entries in order through a buffer.
package final class SortedRunCursor {
    /// The current entry; meaningless at the end.
    fileprivate private(set) var entry: UnsafeRawPointer
    /// Its first eight bytes as a number.
    fileprivate private(set) var prefix: UInt64 = 0
    fileprivate private(set) var isAtEnd = false

    private let run: SortedRun
    private let reader: any PositionedReader
    private let buffer: UnsafeMutableRawBufferPointer
    private let entryByteCount: Int
    private var bufferEnd: UnsafeRawPointer
    /// Entries already in the buffer or behind it.
    private var loadedCount = 0

    /// - Parameter bufferByteCount: Memory used; at least one entry's width.
    package init(
        _ run: SortedRun, in reader: any PositionedReader, bufferByteCount: Int = 65536
    ) throws {
        self.run = run
        self.reader = reader
        entryByteCount = run.layout.entryByteCount
        let entryCount = max(1, min(bufferByteCount / entryByteCount, run.entryCount))
        buffer = .allocate(byteCount: entryCount * entryByteCount, alignment: 16)
        entry = UnsafeRawPointer(buffer.baseAddress!)
        bufferEnd = entry
        try load()
    }

    deinit { buffer.deallocate() }

    fileprivate func advance() throws {
        entry += entryByteCount
        if entry == bufferEnd { return try load() }
        prefix = loadBigEndian(entry)
    }

    private func load() throws {
        let count = min(buffer.count / entryByteCount, run.entryCount - loadedCount)
        guard count > 0 else {
            isAtEnd = true
            return
        }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * entryByteCount)])
        try reader.read(at: run.byteOffset + UInt64(loadedCount * entryByteCount), into: bytes)
        loadedCount += count
        entry = UnsafeRawPointer(buffer.baseAddress!)
        bufferEnd = entry + bytes.count
        prefix = loadBigEndian(entry)
    }
}

/// Walks several runs of one layout as if they were one.
///
/// Where runs hold the same key, only the entry of the first such cursor is seen.
///
/// - Parameters:
///   - cursors: Not used before, and not to be used again.
///   - body: Gets the entry's bytes, valid during the call only.
package func mergeSortedRuns(
    _ cursors: [SortedRunCursor], layout: EntryLayout, _ body: (UnsafeRawPointer) throws -> Void
) throws {
    var live = cursors.filter { !$0.isAtEnd }
    // A linear scan: a handful of runs is merged at a time, and one word decides nearly always.
    while var least = live.first {
        var isShared = false
        for cursor in live.dropFirst() where cursor.prefix <= least.prefix {
            if cursor.prefix < least.prefix {
                (least, isShared) = (cursor, false)
            } else {
                isShared = true
                if compare(cursor, least) < 0 { least = cursor }
            }
        }
        try body(least.entry)
        if isShared {
            for cursor in live where cursor !== least && cursor.prefix == least.prefix {
                if compare(cursor, least) == 0 { try cursor.advance() }
            }
        }
        try least.advance()
        if isShared || least.isAtEnd { live.removeAll(where: \.isAtEnd) }
    }

    func compare(_ left: SortedRunCursor, _ right: SortedRunCursor) -> Int {
        compareKeys(left.entry, right.entry, byteCount: layout.keyByteCount)
    }
}
