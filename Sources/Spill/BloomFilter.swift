/// Tells "certainly not here" for most absent keys, at one cache line per question.
///
/// Blocked Bloom filter: all bits of a key lie in one 512-bit block (Putze, Sanders, Singler:
/// "Cache-, hash- and space-efficient Bloom filters", 2007). About 1.5 % false answers at 10 bits
/// a key.
///
/// `@unchecked Sendable`: written by whoever builds it, then only read.
package final class BloomFilter: @unchecked Sendable {
    package let byteCount: Int
    private let words: UnsafeMutablePointer<UInt64>
    private let blockCount: UInt64

    private static let bitsPerKey = 10
    private static let wordsPerBlock = 8
    private static let bitsSetPerKey = 6

    /// A filter that takes at most half of what is left of a budget, so that later ones get their
    /// share too; `nil` if it would be too dense to be of use.
    package convenience init?(keyCount: Int, remainingByteCount: Int) {
        let wanted = max(64, keyCount * BloomFilter.bitsPerKey / 8)
        let byteCount = min(wanted, remainingByteCount / 2)
        // Below three bits a key a filter says "maybe" more often than "no".
        guard byteCount >= 64, byteCount * 8 >= keyCount * 3 else { return nil }
        self.init(byteCount: byteCount)
    }

    /// - Parameter byteCount: At least 64; rounded down to whole blocks.
    init(byteCount: Int) {
        blockCount = UInt64(byteCount / 64)
        precondition(blockCount > 0, "a filter has at least one block")
        self.byteCount = Int(blockCount) * 64
        let wordCount = Int(blockCount) * BloomFilter.wordsPerBlock
        words = .allocate(capacity: wordCount)
        words.initialize(repeating: 0, count: wordCount)
    }

    deinit { words.deallocate() }

    /// - Parameter hash: Uniform bits that stand for the key.
    package func insert(_ hash: UInt64) {
        let block = block(of: hash)
        var bits = hash &* 0x9e37_79b9_7f4a_7c15
        for _ in 0..<BloomFilter.bitsSetPerKey {
            let bit = Int(bits >> 55)
            block[bit >> 6] |= 1 << UInt64(bit & 63)
            bits = bits << 9 | bits >> 55
        }
    }

    /// `false` only for keys that were not inserted.
    package func mayContain(_ hash: UInt64) -> Bool {
        let block = block(of: hash)
        var bits = hash &* 0x9e37_79b9_7f4a_7c15
        for _ in 0..<BloomFilter.bitsSetPerKey {
            let bit = Int(bits >> 55)
            if block[bit >> 6] & (1 << UInt64(bit & 63)) == 0 { return false }
            bits = bits << 9 | bits >> 55
        }
        return true
    }

    private func block(of hash: UInt64) -> UnsafeMutablePointer<UInt64> {
        words + Int(hash.multipliedFullWidth(by: blockCount).high) * BloomFilter.wordsPerBlock
    }
}
