import Multiformats

/// Weights that break ties between equally full peers, so that they take turns instead of the
/// smallest ID winning always (rendezvous hashing, Thaler and Ravishankar 1998).
enum Rendezvous {
    /// The peer's weight for one shard; the largest wins.
    ///
    /// FNV-1a over upload (16 bytes), shard number (8 bytes, highest first) and peer ID, then the
    /// 64-bit finisher of MurmurHash3.
    static func weight(upload: UploadID, shardNumber: Int, peer: PeerID) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ byte: UInt8) {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        for word in [upload.high, upload.low, UInt64(shardNumber)] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                mix(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        for byte in peer.bytes { mix(byte) }
        hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ hash >> 33
    }
}
