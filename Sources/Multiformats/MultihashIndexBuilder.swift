/// Collects where the blocks of a CAR are and writes the index of kind MultihashIndexSorted that
/// ends a CARv2, byte for byte as go-car does.
///
/// Memory: about 56 bytes a block of a 32-byte digest.
package struct MultihashIndexBuilder {
    /// The rows of one hash function and digest length: digest and offset, one after the other.
    private struct Bucket {
        let hashCode: UInt64
        let rowByteCount: Int
        var rows: [UInt8] = []
    }

    private var buckets: [Bucket] = []
    /// Number of blocks added.
    package private(set) var count = 0

    package init() {}

    /// Adds a block; identity CIDs are left out, as they carry their data.
    ///
    /// - Parameter offset: Where the block's section starts, from the start of the CARv1.
    package mutating func add(_ cid: CID, offset: UInt64) {
        if cid.isIdentity { return }
        count += 1
        let index = bucketIndex(cid.hashFunction.rawValue, cid.digestByteCount + 8)
        cid.withDigest { buckets[index].rows.append(contentsOf: $0) }
        withUnsafeBytes(of: offset.littleEndian) { buckets[index].rows.append(contentsOf: $0) }
    }

    /// The index with its leading multicodec code.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(buckets.reduce(into: 64) { $0 += $1.rows.count + 32 })
        Varint.append(MultihashIndex.codec, to: &bytes)
        let sorted = buckets.sorted {
            ($0.hashCode, $0.rowByteCount) < ($1.hashCode, $1.rowByteCount)
        }
        let codes = sorted.reduce(into: [UInt64]()) {
            if $0.last != $1.hashCode { $0.append($1.hashCode) }
        }
        append(UInt32(codes.count), to: &bytes)
        for code in codes {
            let widths = sorted.filter { $0.hashCode == code }
            append(code, to: &bytes)
            append(UInt32(widths.count), to: &bytes)
            for bucket in widths {
                append(UInt32(bucket.rowByteCount), to: &bytes)
                append(UInt64(bucket.rows.count), to: &bytes)
                appendSorted(bucket, to: &bytes)
            }
        }
        return bytes
    }

    private mutating func bucketIndex(_ hashCode: UInt64, _ rowByteCount: Int) -> Int {
        let known = buckets.firstIndex {
            $0.hashCode == hashCode && $0.rowByteCount == rowByteCount
        }
        if let known { return known }
        buckets.append(Bucket(hashCode: hashCode, rowByteCount: rowByteCount))
        return buckets.count - 1
    }

    /// Appends a bucket's rows by digest; rows of one digest keep the order they came in.
    private func appendSorted(_ bucket: Bucket, to bytes: inout [UInt8]) {
        let width = bucket.rowByteCount
        bucket.rows.withUnsafeBytes { rows in
            func digest(_ row: Int) -> UnsafeRawBufferPointer {
                UnsafeRawBufferPointer(rebasing: rows[row * width..<(row + 1) * width - 8])
            }
            // Most comparisons end in the first eight bytes.
            let order = (0..<rows.count / width).map { row in
                var start: UInt64 = 0
                for byte in digest(row).prefix(8) { start = start << 8 | UInt64(byte) }
                return (start: start, row: row)
            }.sorted { left, right in
                if left.start != right.start { return left.start < right.start }
                let (leftDigest, rightDigest) = (digest(left.row), digest(right.row))
                return leftDigest.elementsEqual(rightDigest)
                    ? left.row < right.row : leftDigest.lexicographicallyPrecedes(rightDigest)
            }
            for (_, row) in order {
                bytes.append(contentsOf: rows[row * width..<(row + 1) * width])
            }
        }
    }

    private func append<Number: FixedWidthInteger>(_ number: Number, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
