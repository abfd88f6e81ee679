/// Why bytes are not an index of kind MultihashIndexSorted; offsets count from its start.
package enum MultihashIndexError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The index is of another kind.
    case unsupportedCodec(UInt64)
    /// The index ends inside the part that starts at `offset`.
    case truncated(offset: UInt64)
    /// Numbers that no index has: a row shorter than its offset, rows cut in two.
    case malformed(offset: UInt64)

    package var description: String {
        let reason =
            switch self {
            case .unsupportedCodec(let codec):
                "it is of kind 0x\(String(codec, radix: 16)), only 0x401 can be read"
            case .truncated(let offset): "it ends inside the part at byte \(offset)"
            case .malformed(let offset): "the part at byte \(offset) is damaged"
            }
        return "the CAR index cannot be used: \(reason); make it again from the CAR's sections"
    }
}

/// Finds blocks through an index of kind MultihashIndexSorted without holding it in memory.
///
/// The index is wherever `read` finds it: the closure fills a buffer from an offset that counts
/// from the start of the index, and throws when it cannot.
package struct MultihashIndex: Sendable {
    /// Multicodec code of this kind of index.
    package static let codec: UInt64 = 0x0401

    package typealias Read = (_ offset: UInt64, _ into: UnsafeMutableRawBufferPointer) throws ->
        Void

    private struct Bucket: Sendable {
        let hashCode: UInt64
        let rowByteCount: Int
        let rowsOffset: UInt64
        let rowCount: UInt64
    }

    private let buckets: [Bucket]

    /// Reads the directory of the index, a few dozen bytes.
    ///
    /// - Throws: `MultihashIndexError`, and what `read` throws.
    package init(byteCount: UInt64, read: Read) throws {
        var cursor = Cursor(byteCount: byteCount)
        let codec = try cursor.codec(read)
        guard codec == Self.codec else { throw MultihashIndexError.unsupportedCodec(codec) }
        var buckets: [Bucket] = []
        for _ in 0..<(try cursor.count(entryByteCount: 12, read)) {
            let hashCode = try cursor.number(UInt64.self, read)
            for _ in 0..<(try cursor.count(entryByteCount: 12, read)) {
                let start = cursor.offset
                let rowByteCount = UInt64(try cursor.number(UInt32.self, read))
                let rowsByteCount = try cursor.number(UInt64.self, read)
                guard rowByteCount >= 8, rowByteCount <= UInt64(CID.maximumDigestByteCount + 8),
                    rowsByteCount.isMultiple(of: rowByteCount)
                else { throw MultihashIndexError.malformed(offset: start) }
                guard rowsByteCount <= byteCount - cursor.offset else {
                    throw MultihashIndexError.truncated(offset: start)
                }
                buckets.append(
                    Bucket(
                        hashCode: hashCode, rowByteCount: Int(rowByteCount),
                        rowsOffset: cursor.offset, rowCount: rowsByteCount / rowByteCount))
                cursor.offset += rowsByteCount
            }
        }
        self.buckets = buckets
    }

    /// Number of blocks in the index.
    package var count: UInt64 {
        buckets.reduce(into: 0 as UInt64) { $0 += $1.rowCount }
    }

    /// Where the section of a block starts, from the start of the CARv1; `nil` when the index does
    /// not have its multihash.
    ///
    /// Digests are spread evenly, so a guess by proportion is mostly right at the first read;
    /// rows that are not spread evenly take a few more.
    ///
    /// - Throws: What `read` throws.
    package func sectionOffset(of cid: CID, read: Read) throws -> UInt64? {
        let rowByteCount = cid.digestByteCount + 8
        for bucket in buckets
        where bucket.hashCode == cid.hashFunction.rawValue && bucket.rowByteCount == rowByteCount {
            let found = try cid.withDigest { try search(bucket, for: $0, read: read) }
            if let found { return found }
        }
        return nil
    }

    /// Calls `body` with the digest and section offset of every row, bucket by bucket in order.
    ///
    /// - Throws: What `read` and `body` throw.
    package func forEachRow(
        read: Read,
        _ body: (HashFunction, _ digest: UnsafeRawBufferPointer, _ offset: UInt64) throws -> Void
    ) throws {
        for bucket in buckets {
            let width = bucket.rowByteCount
            let windowRowCount = UInt64(max(1, 65_536 / width))
            var row: UInt64 = 0
            while row < bucket.rowCount {
                let count = Int(min(windowRowCount, bucket.rowCount - row))
                try withRows(bucket, row, count, read: read) { rows in
                    for index in 0..<count {
                        let content = UnsafeRawBufferPointer(
                            rebasing: rows[index * width..<(index + 1) * width])
                        try body(
                            HashFunction(rawValue: bucket.hashCode),
                            UnsafeRawBufferPointer(rebasing: content[..<(width - 8)]),
                            Self.offset(inRow: content))
                    }
                }
                row += UInt64(count)
            }
        }
    }

    // MARK: Searching

    /// Rows read at once, about a page.
    private static let windowByteCount = 4096

    private func search(
        _ bucket: Bucket, for digest: UnsafeRawBufferPointer, read: Read
    ) throws -> UInt64? {
        let windowRowCount = UInt64(max(1, Self.windowByteCount / bucket.rowByteCount))
        var low: UInt64 = 0
        var high = bucket.rowCount  // the row, if there, is in low..<high
        var lowStart: UInt64 = 0
        var highStart = UInt64.max
        let start = Self.start(digest)
        var guesses = 0
        while low < high {
            // A few guesses by proportion, then halves, so that no data makes it slow.
            let fraction =
                guesses < 4 && highStart > lowStart
                ? Double(start - lowStart) / Double(highStart - lowStart) : 0.5
            guesses += 1
            let guess = low + min(UInt64(Double(high - low) * fraction), high - low - 1)
            let first = max(low, guess - min(guess, windowRowCount / 2))
            let count = Int(min(windowRowCount, high - first))
            let verdict = try withRows(bucket, first, count, read: read) {
                Self.find(digest, in: $0, rowByteCount: bucket.rowByteCount)
            }
            switch verdict {
            case .found(let offset): return offset
            case .absent: return nil
            case .before(let rowStart): (high, highStart) = (first, max(rowStart, start))
            case .behind(let rowStart):
                (low, lowStart) = (first + UInt64(count), min(rowStart, start))
            }
        }
        return nil
    }

    private enum Verdict {
        case found(UInt64)
        case absent
        /// Before the first row, whose digest starts like this.
        case before(UInt64)
        /// Behind the last row, whose digest starts like this.
        case behind(UInt64)
    }

    private static func find(
        _ digest: UnsafeRawBufferPointer, in rows: UnsafeRawBufferPointer, rowByteCount: Int
    ) -> Verdict {
        func row(_ index: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                rebasing: rows[index * rowByteCount..<(index + 1) * rowByteCount])
        }
        func rowDigest(_ index: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: row(index)[..<(rowByteCount - 8)])
        }
        var low = 0
        var high = rows.count / rowByteCount
        let last = high - 1
        while low < high {
            let middle = (low + high) / 2
            if rowDigest(middle).lexicographicallyPrecedes(digest) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        if low > last { return .behind(start(rowDigest(last))) }
        if rowDigest(low).elementsEqual(digest) { return .found(offset(inRow: row(low))) }
        return low == 0 ? .before(start(rowDigest(0))) : .absent
    }

    private func withRows<R>(
        _ bucket: Bucket, _ first: UInt64, _ count: Int, read: Read,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try withUnsafeTemporaryAllocation(
            byteCount: count * bucket.rowByteCount, alignment: 8
        ) { buffer in
            try read(bucket.rowsOffset + first * UInt64(bucket.rowByteCount), buffer)
            return try body(UnsafeRawBufferPointer(buffer))
        }
    }

    /// The first eight bytes of a digest as a number, for guessing.
    private static func start(_ digest: UnsafeRawBufferPointer) -> UInt64 {
        var start: UInt64 = 0
        for index in 0..<8 {
            start = start << 8 | UInt64(index < digest.count ? digest[index] : 0)
        }
        return start
    }

    private static func offset(inRow row: UnsafeRawBufferPointer) -> UInt64 {
        UInt64(littleEndian: row.loadUnaligned(fromByteOffset: row.count - 8, as: UInt64.self))
    }

    /// Reads the numbers of the directory one by one.
    private struct Cursor {
        let byteCount: UInt64
        var offset: UInt64 = 0

        mutating func codec(_ read: Read) throws -> UInt64 {
            var bytes: [UInt8] = []
            repeat {
                bytes.append(try number(UInt8.self, read))
            } while bytes[bytes.count - 1] >= 0x80
                && bytes.count < Varint.maximumByteCount
            return try bytes.withUnsafeBytes {
                var position = 0
                return try Varint.decode($0, at: &position)
            }
        }

        mutating func number<Number: FixedWidthInteger>(
            _: Number.Type, _ read: Read
        ) throws -> Number {
            let numberByteCount = UInt64(MemoryLayout<Number>.size)
            guard numberByteCount <= byteCount - offset else {
                throw MultihashIndexError.truncated(offset: offset)
            }
            var number: Number = 0
            try withUnsafeMutableBytes(of: &number) { try read(offset, $0) }
            offset += numberByteCount
            return Number(littleEndian: number)
        }

        /// A count of entries of at least `entryByteCount` bytes each.
        mutating func count(entryByteCount: UInt64, _ read: Read) throws -> UInt32 {
            let start = offset
            let count = try number(UInt32.self, read)
            guard UInt64(count) <= (byteCount - offset) / entryByteCount else {
                throw MultihashIndexError.truncated(offset: start)
            }
            return count
        }
    }
}
