/// The `rabin` chunker of boxo (whyrusleeping/chunker): content-defined chunks.
struct RabinBoundaryFinder: ChunkBoundaryFinder {
    private let minimum: Int
    private let maximum: Int
    private let boundaryMask: UInt64
    private let tables = RabinHash.makeTables()

    /// - Precondition: `16 <= minimum < average < maximum`, in bytes.
    init(minimum: Int, average: Int, maximum: Int) {
        precondition(minimum >= RabinHash.windowByteCount && minimum < average && average < maximum)
        self.minimum = minimum
        self.maximum = maximum
        let averageLog2 = Int.bitWidth - 1 - average.leadingZeroBitCount
        boundaryMask = (1 << averageLog2) - 1
    }

    func firstChunkByteCount(in bytes: UnsafeRawBufferPointer, isFinal: Bool) -> Int? {
        findChunkEnd(in: bytes, isFinal: isFinal, minimum: minimum, maximum: maximum) {
            base, candidates in
            tables.withUnsafeBufferPointer { tables in
                RabinHash(tables: tables.baseAddress!, boundaryMask: boundaryMask)
                    .firstBoundary(in: base, at: candidates)
            }
        }
    }
}

/// Rabin fingerprint of 16 bytes: the window as a polynomial over GF(2), modulo `polynomial`.
struct RabinHash: RollingHash {
    static let windowByteCount = 16
    static let polynomial: UInt64 = 0x3D_F305_DFB2_A805
    private static let degree: UInt64 = 53

    /// As `makeTables` lays them out.
    let tables: UnsafePointer<UInt64>
    let boundaryMask: UInt64

    /// 256 words to take a byte that is 16 places old out of the fingerprint, then 256 words that
    /// clear the 8 bits a shift pushes past the degree and add their remainder.
    static func makeTables() -> [UInt64] {
        (0..<256).map { remainder($0, shiftedBy: 8 * UInt64(windowByteCount)) }
            + (0..<256).map { remainder($0, shiftedBy: degree) | $0 << degree }
    }

    /// `value * x^bitCount` modulo the polynomial.
    private static func remainder(_ value: UInt64, shiftedBy bitCount: UInt64) -> UInt64 {
        (0..<bitCount).reduce(value) { remainder, _ in
            let doubled = remainder << 1
            return doubled >> degree == 0 ? doubled : doubled ^ polynomial
        }
    }

    @inline(__always)
    func state(of window: UnsafePointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0
        for index in 0..<Self.windowByteCount {
            hash = advance(hash, dropping: 0, adding: window[index])
        }
        return hash
    }

    @inline(__always)
    func advance(_ state: UInt64, dropping oldest: UInt8, adding newest: UInt8) -> UInt64 {
        let carry = Int(truncatingIfNeeded: state &>> (Self.degree &- 8))
        return (state &<< 8 | UInt64(newest)) ^ tables[256 &+ carry] ^ tables[Int(oldest)]
    }

    @inline(__always)
    func isBoundary(_ state: UInt64) -> Bool {
        state & boundaryMask == 0
    }
}
