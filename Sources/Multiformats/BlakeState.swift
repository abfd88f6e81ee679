/// Sixteen words that BLAKE2b, BLAKE2s and BLAKE3 mix with a message in the same way.
///
/// Single words rather than an array, so that they stay in registers.
struct BlakeState<Word: FixedWidthInteger & UnsignedInteger & SIMDScalar> {
    /// Rotation distances of one mixing step.
    typealias Rotations = (first: Word, second: Word, third: Word, fourth: Word)

    private var w0, w1, w2, w3, w4, w5, w6, w7: Word
    private var w8, w9, w10, w11, w12, w13, w14, w15: Word

    /// A state of a chaining value, the first constants, and what tells this compression from
    /// others.
    init(_ chain: SIMD8<Word>, _ constants: SIMD8<Word>, _ rest: (Word, Word, Word, Word)) {
        (w0, w1, w2, w3) = (chain[0], chain[1], chain[2], chain[3])
        (w4, w5, w6, w7) = (chain[4], chain[5], chain[6], chain[7])
        (w8, w9, w10, w11) = (constants[0], constants[1], constants[2], constants[3])
        (w12, w13, w14, w15) = rest
    }

    /// Each word of the first half XOR its counterpart in the second.
    var foldedHalves: SIMD8<Word> {
        SIMD8(
            w0 ^ w8, w1 ^ w9, w2 ^ w10, w3 ^ w11, w4 ^ w12, w5 ^ w13, w6 ^ w14, w7 ^ w15)
    }

    /// One round: columns, then diagonals. `order` says which of the 16 `message` words is used
    /// when.
    @inline(__always)
    mutating func mix(
        _ message: UnsafePointer<Word>, order: UnsafePointer<UInt8>, _ rotations: Rotations
    ) {
        @inline(__always)
        func word(_ step: Int) -> Word { message[Int(order[step])] }
        Self.step(&w0, &w4, &w8, &w12, word(0), word(1), rotations)
        Self.step(&w1, &w5, &w9, &w13, word(2), word(3), rotations)
        Self.step(&w2, &w6, &w10, &w14, word(4), word(5), rotations)
        Self.step(&w3, &w7, &w11, &w15, word(6), word(7), rotations)
        Self.step(&w0, &w5, &w10, &w15, word(8), word(9), rotations)
        Self.step(&w1, &w6, &w11, &w12, word(10), word(11), rotations)
        Self.step(&w2, &w7, &w8, &w13, word(12), word(13), rotations)
        Self.step(&w3, &w4, &w9, &w14, word(14), word(15), rotations)
    }

    @inline(__always)
    private static func step(
        _ a: inout Word, _ b: inout Word, _ c: inout Word, _ d: inout Word,
        _ first: Word, _ second: Word, _ rotations: Rotations
    ) {
        a = a &+ b &+ first
        d = rotateRight(d ^ a, rotations.first)
        c = c &+ d
        b = rotateRight(b ^ c, rotations.second)
        a = a &+ b &+ second
        d = rotateRight(d ^ a, rotations.third)
        c = c &+ d
        b = rotateRight(b ^ c, rotations.fourth)
    }

    @inline(__always)
    private static func rotateRight(_ word: Word, _ distance: Word) -> Word {
        word &>> distance | word &<< (Word(truncatingIfNeeded: Word.bitWidth) &- distance)
    }

    /// Hands 16 little-endian words of a block to `body`.
    @inline(__always)
    static func withMessage(
        _ block: UnsafeRawPointer, _ body: (UnsafePointer<Word>) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: Word.self, capacity: 16) { message in
            for index in 0..<16 {
                message[index] = Word(
                    littleEndian: block.loadUnaligned(
                        fromByteOffset: index * MemoryLayout<Word>.size, as: Word.self))
            }
            if let start = message.baseAddress { body(start) }
        }
    }
}
