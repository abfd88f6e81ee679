import VectorInputs

/// The content-defined chunkers as their definitions read: one byte after another, nothing skipped but
/// what the definition skips.
struct ByteAtATimeChunker {
    let minimum: Int
    let maximum: Int
    let windowByteCount: Int
    let boundaryMask: UInt64
    /// The hash of a whole window.
    let hash: (_ window: [UInt8]) -> UInt64
    let slide: (_ hash: UInt64, _ oldest: UInt8, _ newest: UInt8) -> UInt64

    func chunkByteCounts(of input: [UInt8]) -> [Int] {
        input.withUnsafeBufferPointer { input in
            var counts: [Int] = []
            var start = 0
            while start < input.count {
                let rest = UnsafeBufferPointer(rebasing: input[start...])
                counts.append(firstChunkByteCount(of: rest))
                start += counts.last!
            }
            return counts
        }
    }

    private func firstChunkByteCount(of input: UnsafeBufferPointer<UInt8>) -> Int {
        let end = min(input.count, maximum)
        guard end > minimum else { return end }
        var hash = hash(Array(input[minimum - windowByteCount..<minimum]))
        for byteCount in minimum..<end {
            if hash & boundaryMask == 0 { return byteCount }
            hash = slide(hash, input[byteCount - windowByteCount], input[byteCount])
        }
        return end
    }
}

extension ByteAtATimeChunker {
    static func rabin(minimum: Int, average: Int, maximum: Int) -> ByteAtATimeChunker {
        let outgoing = (0..<256).map { polynomialRemainder(UInt128($0) << 120) }
        let overflow = (0..<256).map { polynomialRemainder(UInt128($0) << 53) }
        var mask: UInt64 = 1
        while mask * 2 <= UInt64(average) { mask *= 2 }
        return ByteAtATimeChunker(
            minimum: minimum, maximum: maximum, windowByteCount: 16, boundaryMask: mask - 1,
            hash: { window in
                polynomialRemainder(window.reduce(0) { $0 << 8 | UInt128($1) })
            },
            slide: { hash, oldest, newest in
                let shifted = (hash ^ outgoing[Int(oldest)]) << 8 | UInt64(newest)
                return shifted & (1 << 53 - 1) ^ overflow[Int(shifted >> 53)]
            })
    }

    /// Long division by the polynomial of the reference program.
    private static func polynomialRemainder(_ value: UInt128) -> UInt64 {
        var value = value
        for degree in stride(from: 127, through: 53, by: -1) where value >> degree & 1 == 1 {
            value ^= 17_437_180_132_763_653 << (degree - 53)
        }
        return UInt64(value)
    }

    static func buzhash() -> ByteAtATimeChunker {
        let table = VectorFiles.table("buzhash-table.txt")
        func rotated(_ word: UInt64, by count: Int) -> UInt64 {
            (word << count | word >> (32 - count)) & 0xffff_ffff
        }
        return ByteAtATimeChunker(
            minimum: 131_072, maximum: 524_288, windowByteCount: 32, boundaryMask: 0x1ffff,
            hash: { window in
                window.enumerated().reduce(0) { $0 ^ rotated(table[Int($1.1)], by: 31 - $1.0) }
            },
            slide: { hash, oldest, newest in
                rotated(hash, by: 1) ^ table[Int(oldest)] ^ table[Int(newest)]
            })
    }
}
