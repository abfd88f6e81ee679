/// XXH64 with seed 0 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md): tells damage from
/// data at several bytes a cycle. No protection against forgery.
struct XXH64 {
    private var lane1 = XXH64.prime1 &+ XXH64.prime2
    private var lane2 = XXH64.prime2
    private var lane3: UInt64 = 0
    private var lane4 = 0 &- XXH64.prime1
    private var byteCount: UInt64 = 0
    /// What follows the last whole stripe of 32 bytes.
    private var tail: [UInt8] = []

    private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
    private static let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
    private static let prime3: UInt64 = 0x1656_67b1_9e37_79f9
    private static let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
    private static let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

    static func hash(_ bytes: [UInt8]) -> UInt64 {
        var hash = XXH64()
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount += UInt64(bytes.count)
        var rest = bytes[...]
        if !tail.isEmpty {
            let missing = rest.prefix(32 - tail.count)
            tail.append(contentsOf: missing)
            rest = rest.dropFirst(missing.count)
            guard tail.count == 32 else { return }
            tail.withUnsafeBytes { consumeStripes($0) }
            tail = []
        }
        let stripes = rest.prefix(rest.count & ~31)
        consumeStripes(UnsafeRawBufferPointer(rebasing: stripes))
        tail.append(contentsOf: rest.dropFirst(stripes.count))
    }

    consuming func finish() -> UInt64 {
        var hash = byteCount >= 32 ? mergedLanes : XXH64.prime5
        hash &+= byteCount
        var rest = tail[...]
        while rest.count >= 8 {
            hash ^= XXH64.round(0, XXH64.number(rest.prefix(8)))
            hash = XXH64.rotate(hash, 27) &* XXH64.prime1 &+ XXH64.prime4
            rest = rest.dropFirst(8)
        }
        if rest.count >= 4 {
            hash ^= XXH64.number(rest.prefix(4)) &* XXH64.prime1
            hash = XXH64.rotate(hash, 23) &* XXH64.prime2 &+ XXH64.prime3
            rest = rest.dropFirst(4)
        }
        for byte in rest {
            hash ^= UInt64(byte) &* XXH64.prime5
            hash = XXH64.rotate(hash, 11) &* XXH64.prime1
        }
        hash = (hash ^ (hash >> 33)) &* XXH64.prime2
        hash = (hash ^ (hash >> 29)) &* XXH64.prime3
        return hash ^ (hash >> 32)
    }

    private var mergedLanes: UInt64 {
        var hash =
            XXH64.rotate(lane1, 1) &+ XXH64.rotate(lane2, 7) &+ XXH64.rotate(lane3, 12)
            &+ XXH64.rotate(lane4, 18)
        for lane in [lane1, lane2, lane3, lane4] {
            hash = (hash ^ XXH64.round(0, lane)) &* XXH64.prime1 &+ XXH64.prime4
        }
        return hash
    }

    private mutating func consumeStripes(_ bytes: UnsafeRawBufferPointer) {
        for offset in stride(from: 0, to: bytes.count, by: 32) {
            lane1 = XXH64.round(lane1, XXH64.word(bytes, offset))
            lane2 = XXH64.round(lane2, XXH64.word(bytes, offset + 8))
            lane3 = XXH64.round(lane3, XXH64.word(bytes, offset + 16))
            lane4 = XXH64.round(lane4, XXH64.word(bytes, offset + 24))
        }
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotate(lane &+ word &* prime2, 31) &* prime1
    }

    @inline(__always)
    private static func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 {
        word << count | word >> (64 - count)
    }

    @inline(__always)
    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
