import Multiformats
import Spill

/// Collects a shard's index entries and writes them as CARv2's MultihashIndexSorted: by hash
/// function, digest length and digest. Memory is bounded; many entries are sorted in scratch files.
struct ShardIndexBuilder {
    private struct Bucket: Hashable, Comparable {
        let function: UInt64
        let digestByteCount: Int

        static func < (a: Bucket, b: Bucket) -> Bool {
            (a.function, a.digestByteCount) < (b.function, b.digestByteCount)
        }
    }

    private let sorter: ExternalSorter
    private var entryCounts: [Bucket: Int] = [:]
    /// Bytes the index takes in the file, at most.
    private(set) var byteCount = 2 + 4

    init(scratch: any ScratchSpace) {
        sorter = ExternalSorter(scratch: scratch)
    }

    /// - Parameter offset: Start of the block's section, from the start of the CARv1 payload.
    mutating func add(_ cid: CID, offset: Int) throws {
        let bucket = Bucket(
            function: cid.hashFunction.rawValue, digestByteCount: cid.digestByteCount)
        if entryCounts[bucket] == nil { byteCount += 8 + 4 + 4 + 8 }
        entryCounts[bucket, default: 0] += 1
        byteCount += bucket.digestByteCount + 8
        // The key order of the sorter is that of the index; numbers are big-endian for it.
        try withUnsafeTemporaryAllocation(byteCount: 12 + 128 + 8, alignment: 8) { record in
            record.storeBytes(of: bucket.function.bigEndian, as: UInt64.self)
            record.storeBytes(
                of: UInt32(bucket.digestByteCount).bigEndian, toByteOffset: 8, as: UInt32.self)
            let end = 12 + bucket.digestByteCount
            cid.withDigest { digest in
                UnsafeMutableRawBufferPointer(rebasing: record[12..<end]).copyMemory(from: digest)
            }
            record.storeBytes(of: UInt64(offset).littleEndian, toByteOffset: end, as: UInt64.self)
            try sorter.add(UnsafeRawBufferPointer(rebasing: record[..<(end + 8)]))
        }
    }

    /// Writes the index in pieces.
    mutating func write(_ emit: ([UInt8]) async throws -> Void) async throws {
        var piece: [UInt8] = []
        Varint.append(MultihashIndex.codec, to: &piece)
        let buckets = entryCounts.keys.sorted()
        let functions = Set(buckets.map(\.function)).sorted()
        Self.append(Int32(functions.count), to: &piece)
        var remaining = buckets[...]
        var entriesLeft = 0
        let sorted = try sorter.takeSorted()
        for function in functions {
            let widths = remaining.prefix { $0.function == function }
            remaining = remaining.dropFirst(widths.count)
            Self.append(function, to: &piece)
            Self.append(Int32(widths.count), to: &piece)
            for bucket in widths {
                let width = bucket.digestByteCount + 8
                entriesLeft = entryCounts[bucket]!
                Self.append(UInt32(width), to: &piece)
                Self.append(UInt64(width * entriesLeft), to: &piece)
                while entriesLeft > 0 {
                    guard let record = try sorted.next() else {
                        preconditionFailure("the sorter returns every record it was given")
                    }
                    piece.append(contentsOf: record[12...])
                    entriesLeft -= 1
                    if piece.count >= 1 << 16 {
                        try await emit(piece)
                        piece.removeAll(keepingCapacity: true)
                    }
                }
            }
        }
        try await emit(piece)
    }

    private static func append<Number: FixedWidthInteger>(
        _ number: Number, to bytes: inout [UInt8]
    ) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
