/// xorshift64*: each step gives eight little-endian bytes.
package struct XorshiftStream: ByteStream, RandomNumberGenerator {
    private var state: UInt64

    /// A seed of 0, which would stay 0, is replaced.
    package init(seed: UInt64) {
        state = seed == 0 ? 0x9E37_79B9_7F4A_7C15 : seed
    }

    package mutating func next() -> UInt64 {
        state ^= state &>> 12
        state ^= state &<< 25
        state ^= state &>> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }

    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        let base = buffer.baseAddress!
        var offset = 0
        while offset < buffer.count {
            base.storeBytes(of: next().littleEndian, toByteOffset: offset, as: UInt64.self)
            offset &+= 8
        }
    }
}
