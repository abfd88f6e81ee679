/// A keyed hash of a `SpillKey`: multiply and fold, two words at a time.
///
/// Links in an uploaded DAG can name any digest, so an uploader could choose keys that collide in
/// a fixed hash. The seed is what they cannot know.
struct KeyMixer {
    private let salt0, salt1, salt2, salt3: UInt64

    init(seed: UInt64) {
        var state = seed
        salt0 = KeyMixer.splitMix(&state)
        salt1 = KeyMixer.splitMix(&state)
        salt2 = KeyMixer.splitMix(&state)
        salt3 = KeyMixer.splitMix(&state)
    }

    @inline(__always)
    func hash(_ key: SpillKey) -> UInt64 {
        let low = KeyMixer.fold(key.word0 ^ salt0, key.word1 ^ salt1)
        let high = KeyMixer.fold(key.word2 ^ salt2, key.word3 ^ salt3)
        return KeyMixer.fold(low ^ salt3, high ^ salt0)
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    private static func splitMix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
