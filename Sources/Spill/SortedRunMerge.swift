/// Reads a run's entries in order through a buffer.
package struct SortedRunCursor {
    private let run: SortedRun
    private let reader: any PositionedReader
    private var buffer: [UInt8]
    private var bufferedEntries: Range<Int> = 0..<0
    private var index = 0

    /// - Parameter bufferByteCount: Memory used; at least one entry's width.
    package init(_ run: SortedRun, in reader: any PositionedReader, bufferByteCount: Int = 65536) {
        let width = run.layout.entryByteCount
        self.run = run
        self.reader = reader
        let entryCount = max(1, min(bufferByteCount / width, run.entryCount))
        buffer = [UInt8](repeating: 0, count: entryCount * width)
    }

    var isAtEnd: Bool { index == run.entryCount }

    /// Reads on if the current entry is not in the buffer.
    mutating func load() throws {
        guard !isAtEnd, !bufferedEntries.contains(index) else { return }
        let width = run.layout.entryByteCount
        let count = min(buffer.count / width, run.entryCount - index)
        let offset = run.byteOffset + UInt64(index * width)
        let reader = reader
        try buffer.withUnsafeMutableBytes { bytes in
            try reader.read(
                at: offset, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<(count * width)])
            )
        }
        bufferedEntries = index..<(index + count)
    }

    mutating func advance() { index += 1 }

    /// Lends the current entry, which must be loaded.
    func withEntry<Result>(_ body: (UnsafeRawPointer) throws -> Result) rethrows -> Result {
        try buffer.withUnsafeBytes { bytes in
            try body(
                bytes.baseAddress! + (index - bufferedEntries.lowerBound)
                    * run.layout.entryByteCount)
        }
    }
}

/// Walks several runs of one layout as if they were one.
///
/// Where runs hold the same key, only the entry of the first such cursor is seen.
///
/// - Parameter body: Gets the entry's bytes, valid during the call only.
package func mergeSortedRuns(
    _ cursors: consuming [SortedRunCursor], layout: EntryLayout,
    _ body: (UnsafeRawPointer) throws -> Void
) throws {
    var cursors = cursors
    var prefixes = [UInt64](repeating: .max, count: cursors.count)
    var live: [Int] = []
    for number in cursors.indices { try load(number) }
    live = cursors.indices.filter { !cursors[$0].isAtEnd }

    // A linear scan: a handful of runs is merged at a time, and one word decides nearly always.
    while let first = live.first {
        var least = first
        for number in live.dropFirst() where prefixes[number] <= prefixes[least] {
            if prefixes[number] < prefixes[least] || compare(number, least) < 0 { least = number }
        }
        try cursors[least].withEntry(body)
        for number in live where number != least && prefixes[number] == prefixes[least] {
            if compare(number, least) == 0 { try step(number) }
        }
        try step(least)
    }

    func load(_ number: Int) throws {
        try cursors[number].load()
        guard !cursors[number].isAtEnd else { return }
        prefixes[number] = cursors[number].withEntry { loadBigEndian($0) }
    }

    func step(_ number: Int) throws {
        cursors[number].advance()
        try load(number)
        if cursors[number].isAtEnd { live.removeAll { $0 == number } }
    }

    func compare(_ left: Int, _ right: Int) -> Int {
        cursors[left].withEntry { leftEntry in
            cursors[right].withEntry { rightEntry in
                compareKeys(leftEntry, rightEntry, byteCount: layout.keyByteCount)
            }
        }
    }
}
