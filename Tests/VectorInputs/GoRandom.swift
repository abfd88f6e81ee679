/// Go's `math/rand` version 1: an additive lagged Fibonacci generator over 607 words.
struct GoRandom: ByteStream {
    private static let cooked = VectorFiles.table("go-mathrand-cooked.txt")

    private var words: [UInt64]
    private var index = 0
    /// What `read` has not handed out of its last number.
    private var leftover: UInt64 = 0
    private var leftoverByteCount = 0

    init(seed: Int) {
        let modulus = Int(Int32.max)
        var reduced = seed % modulus
        if reduced < 0 { reduced += modulus }
        if reduced == 0 { reduced = 89_482_311 }
        var state = UInt64(reduced)
        func nextState() -> UInt64 {
            state = state * 48271 % UInt64(modulus)
            return state
        }
        for _ in 0..<20 { _ = nextState() }
        let vector = Self.cooked.map { cooked in
            nextState() << 40 ^ nextState() << 20 ^ nextState() ^ cooked
        }
        words = (0..<607).map { vector[(333 - $0 + 607) % 607] }
    }

    mutating func uint64() -> UInt64 {
        let other = index < 607 - 334 ? index &+ 334 : index &- (607 - 334)
        let sum = words.withUnsafeMutableBufferPointer { words in
            words[index] = words[index] &+ words[other]
            return words[index]
        }
        index = index == 606 ? 0 : index &+ 1
        return sum
    }

    mutating func int63() -> Int { Int(uint64() & UInt64(Int64.max)) }

    mutating func int31() -> Int { int63() >> 32 }

    /// Uniform in `0..<bound`, drawn as Go's `Intn` does.
    mutating func intn(_ bound: Int) -> Int {
        bound <= Int(Int32.max) ? int31n(bound) : int63n(bound)
    }

    mutating func int31n(_ bound: Int) -> Int {
        if bound & (bound - 1) == 0 { return int31() & (bound - 1) }
        let largest = (1 << 31) - 1 - (1 << 31) % bound
        while true {
            let value = int31()
            if value <= largest { return value % bound }
        }
    }

    mutating func int63n(_ bound: Int) -> Int {
        if bound & (bound - 1) == 0 { return int63() & (bound - 1) }
        let largest = Int.max - Int((UInt64(1) << 63) % UInt64(bound))
        while true {
            let value = int63()
            if value <= largest { return value % bound }
        }
    }

    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        read(into: buffer)
    }

    /// Seven little-endian bytes of every number; the rest of the last one serves the next call.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) {
        guard let base = buffer.baseAddress else { return }
        var offset = 0
        while leftoverByteCount == 0, buffer.count &- offset >= 8 {
            base.storeBytes(
                of: uint64().littleEndian, toByteOffset: offset, as: UInt64.self)
            offset &+= 7
        }
        while offset < buffer.count {
            if leftoverByteCount == 0 {
                leftover = uint64()
                leftoverByteCount = 7
            }
            base.storeBytes(
                of: UInt8(truncatingIfNeeded: leftover), toByteOffset: offset, as: UInt8.self)
            leftover &>>= 8
            leftoverByteCount &-= 1
            offset &+= 1
        }
    }
}
