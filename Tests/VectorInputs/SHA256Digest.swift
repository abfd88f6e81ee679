/// SHA-256 for seeds: short inputs, no need for speed, nothing shared with the code under test.
enum SHA256Digest {
    /// The digest as eight big-endian words.
    static func words(of message: [UInt8]) -> [UInt32] {
        var padded = message + [0x80]
        padded += [UInt8](repeating: 0, count: (120 - padded.count % 64) % 64)
        padded += (0..<8).map { UInt8(truncatingIfNeeded: message.count * 8 >> (56 - 8 * $0)) }
        var state = primes.prefix(8).map { fraction(ofRoot: 2, of: $0) }
        for block in stride(from: 0, to: padded.count, by: 64) {
            compress(padded[block..<block + 64], into: &state)
        }
        return state
    }

    private static let primes = (2...311).filter { number in
        (2..<number).allSatisfy { number % $0 != 0 }
    }

    private static let roundConstants = primes.map { fraction(ofRoot: 3, of: $0) }

    /// The first 32 bits behind the point of the square or cube root: how FIPS 180-4 makes its
    /// constants.
    private static func fraction(ofRoot exponent: Int, of number: Int) -> UInt32 {
        let target = UInt128(number) << (32 * exponent)
        var root: UInt128 = 0
        for bit in stride(from: 36, through: 0, by: -1) {
            let candidate = root | 1 << bit
            let power = exponent == 2 ? candidate * candidate : candidate * candidate * candidate
            if power <= target { root = candidate }
        }
        return UInt32(truncatingIfNeeded: root)
    }

    private static func compress(_ block: ArraySlice<UInt8>, into state: inout [UInt32]) {
        var schedule = stride(from: block.startIndex, to: block.endIndex, by: 4).map { index in
            block[index..<index + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
        for index in 16..<64 {
            let (early, late) = (schedule[index - 15], schedule[index - 2])
            let sigma0 = rotated(early, 7) ^ rotated(early, 18) ^ early >> 3
            let sigma1 = rotated(late, 17) ^ rotated(late, 19) ^ late >> 10
            schedule.append(schedule[index - 16] &+ sigma0 &+ schedule[index - 7] &+ sigma1)
        }
        var v = state
        for index in 0..<64 {
            let sum1 = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)
            let choice = v[4] & v[5] ^ ~v[4] & v[6]
            let added = v[7] &+ sum1 &+ choice &+ roundConstants[index] &+ schedule[index]
            let sum0 = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)
            let majority = v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2]
            v = [added &+ sum0 &+ majority, v[0], v[1], v[2], v[3] &+ added, v[4], v[5], v[6]]
        }
        for index in 0..<8 { state[index] &+= v[index] }
    }

    private static func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 {
        word &>> count | word &<< (32 - count)
    }
}
