/// BLAKE2b for digest lengths libcrypto does not offer.
typealias Blake2b = Blake2<UInt64>
/// BLAKE2s for digest lengths libcrypto does not offer.
typealias Blake2s = Blake2<UInt32>

/// What tells BLAKE2b from BLAKE2s (RFC 7693, section 2.1).
protocol Blake2Word: FixedWidthInteger, UnsignedInteger, SIMDScalar, Codable {
    static var roundCount: Int { get }
    static var rotations: BlakeState<Self>.Rotations { get }
    static var initialVector: SIMD8<Self> { get }
}

/// Unkeyed BLAKE2 with a digest of any length (RFC 7693).
struct Blake2<Word: Blake2Word> {
    private let digestByteCount: Int
    private var chain: SIMD8<Word>
    /// Bytes not yet compressed; the last block must wait until it is known to be the last.
    private var pending: [UInt8]
    private var pendingCount = 0
    private var compressedByteCount: UInt64 = 0

    private static var blockByteCount: Int { 16 * MemoryLayout<Word>.size }

    init(digestByteCount: Int) {
        self.digestByteCount = digestByteCount
        chain = Word.initialVector
        chain[0] ^= 0x0101_0000 ^ Word(digestByteCount)
        pending = Array(repeating: 0, count: Self.blockByteCount)
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            if pendingCount == Self.blockByteCount {
                compressPending(isLast: false)
                pendingCount = 0
            }
            while pendingCount == 0, rest.count > Self.blockByteCount, let start = rest.baseAddress
            {
                compressedByteCount += UInt64(Self.blockByteCount)
                Self.compress(&chain, start, byteCount: compressedByteCount, isLast: false)
                rest = UnsafeRawBufferPointer(rebasing: rest[Self.blockByteCount...])
            }
            let taken = min(Self.blockByteCount - pendingCount, rest.count)
            pending.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[pendingCount...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
            }
            pendingCount += taken
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        }
    }

    /// Writes the digest at the start of `digest` and returns its length.
    mutating func finish(into digest: UnsafeMutableRawBufferPointer) -> Int {
        for index in pendingCount..<Self.blockByteCount { pending[index] = 0 }
        compressPending(isLast: true)
        for index in 0..<digestByteCount {
            let shift = Word(8 * (index % MemoryLayout<Word>.size))
            let word = chain[index / MemoryLayout<Word>.size]
            digest[index] = UInt8(truncatingIfNeeded: word &>> shift)
        }
        return digestByteCount
    }

    private mutating func compressPending(isLast: Bool) {
        compressedByteCount += UInt64(pendingCount)
        pending.withUnsafeBytes {
            guard let start = $0.baseAddress else { return }
            Self.compress(&chain, start, byteCount: compressedByteCount, isLast: isLast)
        }
    }

    private static func compress(
        _ chain: inout SIMD8<Word>, _ block: UnsafeRawPointer, byteCount: UInt64, isLast: Bool
    ) {
        let vector = Word.initialVector
        // The byte counter has two words; 64 bits of it are enough for any block.
        let high = Word.bitWidth == 32 ? Word(truncatingIfNeeded: byteCount >> 32) : 0
        var state = BlakeState(
            chain, vector,
            (
                vector[4] ^ Word(truncatingIfNeeded: byteCount), vector[5] ^ high,
                isLast ? ~vector[6] : vector[6], vector[7]
            ))
        BlakeState.withMessage(block) { message in
            blake2Orders.withUnsafeBufferPointer { orders in
                guard let start = orders.baseAddress else { return }
                for round in 0..<Word.roundCount {
                    state.mix(message, order: start + 16 * (round % 10), Word.rotations)
                }
            }
        }
        chain ^= state.foldedHalves
    }
}

extension UInt64: Blake2Word {
    static var roundCount: Int { 12 }
    static var rotations: BlakeState<UInt64>.Rotations { (32, 24, 16, 63) }
    static var initialVector: SIMD8<UInt64> {
        [
            0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b,
            0xa54f_f53a_5f1d_36f1,
            0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f, 0x1f83_d9ab_fb41_bd6b,
            0x5be0_cd19_137e_2179,
        ]
    }
}

extension UInt32: Blake2Word {
    static var roundCount: Int { 10 }
    static var rotations: BlakeState<UInt32>.Rotations { (16, 12, 8, 7) }
    static var initialVector: SIMD8<UInt32> {
        [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a,
            0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
        ]
    }
}

/// The message word orders of ten rounds (RFC 7693, section 2.7), one after the other.
private let blake2Orders: [UInt8] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3,
    11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4,
    7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8,
    9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13,
    2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9,
    12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11,
    13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10,
    6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5,
    10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0,
]
