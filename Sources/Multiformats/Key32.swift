/// Thirty-two bytes as a fixed-size key, ordered as bytes are.
package struct Key32: Hashable, Comparable, Sendable {
    /// Bytes 0 to 7, the first one in the highest bits; the other words follow.
    package var word0: UInt64
    package var word1: UInt64
    package var word2: UInt64
    package var word3: UInt64

    package init(_ word0: UInt64, _ word1: UInt64, _ word2: UInt64, _ word3: UInt64) {
        self.word0 = word0
        self.word1 = word1
        self.word2 = word2
        self.word3 = word3
    }

    /// The key made of exactly 32 bytes.
    package init(bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == 32, "a key has 32 bytes")
        word0 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        word1 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        word2 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        word3 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    }

    /// Writes the 32 bytes at the start of `bytes`, which must have room for them.
    package func write(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: word0.bigEndian, toByteOffset: 0, as: UInt64.self)
        bytes.storeBytes(of: word1.bigEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: word2.bigEndian, toByteOffset: 16, as: UInt64.self)
        bytes.storeBytes(of: word3.bigEndian, toByteOffset: 24, as: UInt64.self)
    }

    /// Appends the 32 bytes.
    func append(to bytes: inout [UInt8]) {
        var words = (word0.bigEndian, word1.bigEndian, word2.bigEndian, word3.bigEndian)
        withUnsafeBytes(of: &words) { bytes.append(contentsOf: $0) }
    }

    package static func < (left: Key32, right: Key32) -> Bool {
        if left.word0 != right.word0 { return left.word0 < right.word0 }
        if left.word1 != right.word1 { return left.word1 < right.word1 }
        if left.word2 != right.word2 { return left.word2 < right.word2 }
        return left.word3 < right.word3
    }
}
