/// 32 bytes that name something, compared as bytes; meant for digests, whose bits are uniform.
///
/// Keys that are not uniform are handled correctly, only more slowly.
package struct SpillKey: Hashable, Sendable {
    /// The bytes as four big-endian words.
    package let word0, word1, word2, word3: UInt64

    package init(_ word0: UInt64, _ word1: UInt64, _ word2: UInt64, _ word3: UInt64) {
        (self.word0, self.word1, self.word2, self.word3) = (word0, word1, word2, word3)
    }

    /// Reads the first 32 bytes of `bytes`, which holds at least as many.
    package init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= SpillKey.byteCount, "a spill key has 32 bytes")
        self.init(loading: bytes.baseAddress!)
    }

    static let byteCount = 32

    init(loading bytes: UnsafeRawPointer) {
        self.init(
            loadBigEndian(bytes), loadBigEndian(bytes + 8),
            loadBigEndian(bytes + 16), loadBigEndian(bytes + 24))
    }

    func store(to bytes: UnsafeMutableRawPointer) {
        bytes.storeBytes(of: word0.bigEndian, as: UInt64.self)
        bytes.storeBytes(of: word1.bigEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: word2.bigEndian, toByteOffset: 16, as: UInt64.self)
        bytes.storeBytes(of: word3.bigEndian, toByteOffset: 24, as: UInt64.self)
    }
}

extension SpillKey: Comparable {
    package static func < (left: SpillKey, right: SpillKey) -> Bool {
        if left.word0 != right.word0 { return left.word0 < right.word0 }
        if left.word1 != right.word1 { return left.word1 < right.word1 }
        if left.word2 != right.word2 { return left.word2 < right.word2 }
        return left.word3 < right.word3
    }
}

/// The eight bytes at `bytes` as a big-endian number.
@inline(__always)
func loadBigEndian(_ bytes: UnsafeRawPointer) -> UInt64 {
    UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
}
