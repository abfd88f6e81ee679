/// The hash that orders names in a HAMT (Austin Appleby's MurmurHash3, x64 128-bit variant).
enum MurmurHash3 {
    /// The first 64 bits, h1, of the 128-bit hash with seed 0. A HAMT takes its slots from the
    /// highest bits downwards.
    static func x64Hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var h1: UInt64 = 0
        var h2: UInt64 = 0
        let blockCount = bytes.count / 16
        for block in 0..<blockCount {
            h1 ^= mixFirst(word(bytes, at: block * 16))
            h1 = (rotated(h1, 27) &+ h2) &* 5 &+ 0x52dc_e729
            h2 ^= mixSecond(word(bytes, at: block * 16 + 8))
            h2 = (rotated(h2, 31) &+ h1) &* 5 &+ 0x3849_5ab5
        }
        let tail = blockCount * 16
        if bytes.count > tail + 8 {
            h2 ^= mixSecond(partialWord(bytes, from: tail + 8, to: bytes.count))
        }
        if bytes.count > tail {
            h1 ^= mixFirst(partialWord(bytes, from: tail, to: min(bytes.count, tail + 8)))
        }
        h1 ^= UInt64(bytes.count)
        h2 ^= UInt64(bytes.count)
        h1 &+= h2
        h2 &+= h1
        return finalMix(h1) &+ finalMix(h2)
    }

    static func x64Hash64(_ bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { x64Hash64($0) }
    }

    private static let c1: UInt64 = 0x87c3_7b91_1142_53d5
    private static let c2: UInt64 = 0x4cf5_ad43_2745_937f

    private static func mixFirst(_ k: UInt64) -> UInt64 { rotated(k &* c1, 31) &* c2 }

    private static func mixSecond(_ k: UInt64) -> UInt64 { rotated(k &* c2, 33) &* c1 }

    private static func finalMix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed ^= mixed >> 33
        mixed &*= 0xff51_afd7_ed55_8ccd
        mixed ^= mixed >> 33
        mixed &*= 0xc4ce_b9fe_1a85_ec53
        return mixed ^ (mixed >> 33)
    }

    private static func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 {
        value << count | value >> (64 - count)
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private static func partialWord(
        _ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int
    ) -> UInt64 {
        var value: UInt64 = 0
        for index in (start..<end).reversed() { value = value << 8 | UInt64(bytes[index]) }
        return value
    }
}
