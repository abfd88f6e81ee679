/// Writes records to a scratch file: a 32-bit little-endian length before each.
struct RecordWriter {
    private let file: any ScratchFile
    private var buffer: [UInt8] = []

    private static let bufferByteCount = 32 << 10

    init(_ file: any ScratchFile) {
        self.file = file
        buffer.reserveCapacity(RecordWriter.bufferByteCount)
    }

    mutating func append(_ record: UnsafeRawBufferPointer) throws {
        if buffer.count + 4 + record.count > RecordWriter.bufferByteCount { try flush() }
        withUnsafeBytes(of: UInt32(record.count).littleEndian) { buffer.append(contentsOf: $0) }
        if record.count > RecordWriter.bufferByteCount {
            try flush()
            _ = try file.append(record)
        } else {
            buffer.append(contentsOf: record)
        }
    }

    consuming func finish() throws -> any ScratchFile {
        try flush()
        try file.endAppending()
        return file
    }

    private mutating func flush() throws {
        try buffer.withUnsafeBytes { _ = try file.append($0) }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// Reads back what a `RecordWriter` wrote.
final class RecordReader {
    private let file: any ScratchFile
    private let buffer: UnsafeMutableRawBufferPointer
    /// Bytes of the buffer not yet consumed.
    private var unread: Range<Int> = 0..<0
    private var fileOffset: UInt64 = 0
    private(set) var record: UnsafeRawBufferPointer?

    /// - Parameter bufferByteCount: At least 4 more than the longest record has.
    init(_ file: any ScratchFile, bufferByteCount: Int) throws {
        self.file = file
        buffer = .allocate(byteCount: bufferByteCount, alignment: 16)
        try advance()
    }

    deinit { buffer.deallocate() }

    /// Makes the next record current; `record` is `nil` behind the last.
    func advance() throws {
        guard unread.count > 0 || fileOffset < file.byteCount else {
            record = nil
            return
        }
        try ensure(4)
        let length = UInt32(
            littleEndian: buffer.loadUnaligned(fromByteOffset: unread.lowerBound, as: UInt32.self))
        try ensure(4 + Int(length))
        let start = unread.lowerBound + 4
        let end = start + Int(length)
        record = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
        unread = end..<unread.upperBound
    }

    /// Reads on until `byteCount` unread bytes are in the buffer.
    private func ensure(_ byteCount: Int) throws {
        guard unread.count < byteCount else { return }
        let kept = unread.count
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<kept])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[unread]))
        let readCount = min(buffer.count - kept, Int(file.byteCount - fileOffset))
        guard kept + readCount >= byteCount else {
            throw SpillError.readPastEnd(
                offset: fileOffset, byteCount: byteCount - kept, fileByteCount: file.byteCount)
        }
        try file.read(
            at: fileOffset,
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[kept..<(kept + readCount)]))
        fileOffset += UInt64(readCount)
        unread = 0..<(kept + readCount)
    }
}

/// Merges sorted record files with a binary heap.
struct RecordMerge {
    private let readers: [RecordReader]
    /// Reader numbers and their current records' prefixes, least record first.
    private var heap: [(prefix: UInt64, number: Int)] = []
    /// The reader whose record was handed out last and must step before the next one is.
    private var pending = false

    init(_ files: [any ScratchFile], bufferByteCount: Int) throws {
        readers = try files.map { try RecordReader($0, bufferByteCount: bufferByteCount) }
        for (number, reader) in readers.enumerated() {
            guard let record = reader.record else { continue }
            heap.append((prefix(of: record), number))
        }
        for position in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(position) }
    }

    /// The next record, valid until the next call.
    mutating func next() throws -> UnsafeRawBufferPointer? {
        if pending { try stepTop() }
        guard let top = heap.first else { return nil }
        pending = true
        return readers[top.number].record
    }

    private mutating func stepTop() throws {
        let reader = readers[heap[0].number]
        try reader.advance()
        if let record = reader.record {
            heap[0].prefix = prefix(of: record)
        } else {
            heap.swapAt(0, heap.count - 1)
            heap.removeLast()
        }
        pending = false
        if !heap.isEmpty { siftDown(0) }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if isBefore(heap[child], heap[least]) { least = child }
            }
            guard least != parent else { return }
            heap.swapAt(least, parent)
            parent = least
        }
    }

    private func isBefore(
        _ left: (prefix: UInt64, number: Int), _ right: (prefix: UInt64, number: Int)
    ) -> Bool {
        if left.prefix != right.prefix { return left.prefix < right.prefix }
        return compareRecords(readers[left.number].record!, readers[right.number].record!) < 0
    }
}
