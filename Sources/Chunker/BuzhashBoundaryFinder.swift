/// The `buzhash` chunker of boxo: chunks of 128 KiB to 512 KiB.
struct BuzhashBoundaryFinder: ChunkBoundaryFinder {
    static let minimumChunkByteCount = 131_072
    static let maximumChunkByteCount = 524_288

    func firstChunkByteCount(in bytes: UnsafeRawBufferPointer, isFinal: Bool) -> Int? {
        findChunkEnd(
            in: bytes, isFinal: isFinal, minimum: Self.minimumChunkByteCount,
            maximum: Self.maximumChunkByteCount
        ) { base, candidates in
            BuzhashHash.table.withUnsafeBufferPointer { table in
                BuzhashHash(table: table.baseAddress!).firstBoundary(in: base, at: candidates)
            }
        }
    }
}

/// Cyclic polynomial hash over 32 bytes: XOR of table entries rotated by their age in bytes.
struct BuzhashHash: RollingHash {
    static let windowByteCount = 32
    private static let boundaryMask: UInt32 = (1 << 17) - 1

    let table: UnsafePointer<UInt32>

    @inline(__always)
    func state(of window: UnsafePointer<UInt8>) -> UInt32 {
        var hash: UInt32 = 0
        for index in 0..<Self.windowByteCount {
            hash = rotatedLeft(hash) ^ table[Int(window[index])]
        }
        return hash
    }

    /// The oldest entry has gone once round its 32 bits, so it leaves as it came.
    @inline(__always)
    func advance(_ state: UInt32, dropping oldest: UInt8, adding newest: UInt8) -> UInt32 {
        rotatedLeft(state) ^ (table[Int(oldest)] ^ table[Int(newest)])
    }

    @inline(__always)
    func isBoundary(_ state: UInt32) -> Bool {
        state & Self.boundaryMask == 0
    }

    @inline(__always)
    private func rotatedLeft(_ value: UInt32) -> UInt32 {
        value &<< 1 | value &>> 31
    }
}
