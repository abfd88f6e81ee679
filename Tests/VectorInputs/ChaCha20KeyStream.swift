/// The ChaCha20 key stream of RFC 8439: zero nonce, block counter from 0.
struct ChaCha20KeyStream: ByteStream {
    private let key: [UInt32]
    private var blockNumber: UInt32 = 0

    /// The key is the SHA-256 of the seed.
    init(seed: String) {
        key = SHA256Digest.words(of: Array(seed.utf8)).map(\.byteSwapped)
    }

    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        key.withUnsafeBufferPointer { key in
            for offset in stride(from: 0, to: buffer.count, by: 64) {
                Self.writeBlock(blockNumber, key.baseAddress!, to: buffer.baseAddress! + offset)
                blockNumber &+= 1
            }
        }
    }

    /// Sixteen locals rather than an array: quick enough without optimisation.
    private static func writeBlock(
        _ number: UInt32, _ key: UnsafePointer<UInt32>, to output: UnsafeMutableRawPointer
    ) {
        let (c0, c1, c2, c3): (UInt32, UInt32, UInt32, UInt32) =
            (0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574)
        var (x0, x1, x2, x3) = (c0, c1, c2, c3)
        var (x4, x5, x6, x7) = (key[0], key[1], key[2], key[3])
        var (x8, x9, x10, x11) = (key[4], key[5], key[6], key[7])
        var (x12, x13, x14, x15) = (number, UInt32(0), UInt32(0), UInt32(0))
        for _ in 0..<10 {
            quarterRound(&x0, &x4, &x8, &x12)
            quarterRound(&x1, &x5, &x9, &x13)
            quarterRound(&x2, &x6, &x10, &x14)
            quarterRound(&x3, &x7, &x11, &x15)
            quarterRound(&x0, &x5, &x10, &x15)
            quarterRound(&x1, &x6, &x11, &x12)
            quarterRound(&x2, &x7, &x8, &x13)
            quarterRound(&x3, &x4, &x9, &x14)
        }
        let words = output.assumingMemoryBound(to: UInt32.self)
        words[0] = (x0 &+ c0).littleEndian
        words[1] = (x1 &+ c1).littleEndian
        words[2] = (x2 &+ c2).littleEndian
        words[3] = (x3 &+ c3).littleEndian
        words[4] = (x4 &+ key[0]).littleEndian
        words[5] = (x5 &+ key[1]).littleEndian
        words[6] = (x6 &+ key[2]).littleEndian
        words[7] = (x7 &+ key[3]).littleEndian
        words[8] = (x8 &+ key[4]).littleEndian
        words[9] = (x9 &+ key[5]).littleEndian
        words[10] = (x10 &+ key[6]).littleEndian
        words[11] = (x11 &+ key[7]).littleEndian
        words[12] = (x12 &+ number).littleEndian
        words[13] = x13.littleEndian
        words[14] = x14.littleEndian
        words[15] = x15.littleEndian
    }

    private static func quarterRound(
        _ a: inout UInt32, _ b: inout UInt32, _ c: inout UInt32, _ d: inout UInt32
    ) {
        a = a &+ b
        d = d ^ a
        d = d &<< 16 | d &>> 16
        c = c &+ d
        b = b ^ c
        b = b &<< 12 | b &>> 20
        a = a &+ b
        d = d ^ a
        d = d &<< 8 | d &>> 24
        c = c &+ d
        b = b ^ c
        b = b &<< 7 | b &>> 25
    }
}
