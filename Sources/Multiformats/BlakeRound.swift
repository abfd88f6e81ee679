/// What BLAKE2b, BLAKE2s and BLAKE3 have in common: the mixing of sixteen words with a message.
enum BlakeRound {
    /// Rotation distances of one mixing step.
    typealias Rotations<Word> = (first: Word, second: Word, third: Word, fourth: Word)

    /// One round over the 16 words of `state`: columns, then diagonals. `order` says which of the
    /// 16 `message` words is used when.
    @inline(__always)
    static func apply<Word: FixedWidthInteger & UnsignedInteger>(
        _ state: UnsafeMutablePointer<Word>, _ message: UnsafePointer<Word>,
        order: UnsafePointer<UInt8>, _ rotations: Rotations<Word>
    ) {
        @inline(__always)
        func mix(_ a: Int, _ b: Int, _ c: Int, _ d: Int, _ step: Int) {
            var (va, vb, vc, vd) = (state[a], state[b], state[c], state[d])
            va = va &+ vb &+ message[Int(order[step])]
            vd = rotateRight(vd ^ va, rotations.first)
            vc = vc &+ vd
            vb = rotateRight(vb ^ vc, rotations.second)
            va = va &+ vb &+ message[Int(order[step + 1])]
            vd = rotateRight(vd ^ va, rotations.third)
            vc = vc &+ vd
            vb = rotateRight(vb ^ vc, rotations.fourth)
            (state[a], state[b], state[c], state[d]) = (va, vb, vc, vd)
        }
        mix(0, 4, 8, 12, 0)
        mix(1, 5, 9, 13, 2)
        mix(2, 6, 10, 14, 4)
        mix(3, 7, 11, 15, 6)
        mix(0, 5, 10, 15, 8)
        mix(1, 6, 11, 12, 10)
        mix(2, 7, 8, 13, 12)
        mix(3, 4, 9, 14, 14)
    }

    @inline(__always)
    private static func rotateRight<Word: FixedWidthInteger & UnsignedInteger>(
        _ word: Word, _ distance: Word
    ) -> Word {
        word &>> distance | word &<< (Word(truncatingIfNeeded: Word.bitWidth) &- distance)
    }

    /// Loads 16 little-endian words from a block.
    @inline(__always)
    static func load<Word: FixedWidthInteger & UnsignedInteger>(
        _ block: UnsafeRawPointer, into message: UnsafeMutablePointer<Word>
    ) {
        for index in 0..<16 {
            message[index] = Word(
                littleEndian: block.loadUnaligned(
                    fromByteOffset: index * MemoryLayout<Word>.size, as: Word.self))
        }
    }
}
