import Multiformats

/// Weights of peers for one shard, which break ties between equally full ones, so that they take turns
/// instead of the smallest ID winning always (rendezvous hashing, Thaler and Ravishankar 1998).
///
/// FNV-1a over upload (16 bytes), shard number (8 bytes, highest first) and peer ID (38 bytes), then the
/// 64-bit finisher of MurmurHash3.
struct Rendezvous {
    /// The hash of what the weights of all peers begin with.
    private let beginning: UInt64

    init(upload: UploadID, shardNumber: Int) {
        var words = (
            upload.high.bigEndian, upload.low.bigEndian, UInt64(shardNumber).bigEndian
        )
        beginning = withUnsafeBytes(of: &words) { Self.hash(0xcbf2_9ce4_8422_2325, $0) }
    }

    /// The peer's weight; the largest wins.
    func weight(of peer: PeerID) -> UInt64 {
        var hash = withUnsafeTemporaryAllocation(byteCount: PeerID.byteCount, alignment: 8) {
            peer.write(to: $0)
            return Self.hash(beginning, UnsafeRawBufferPointer($0))
        }
        hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ hash >> 33
    }

    private static func hash(_ beginning: UInt64, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
        bytes.reduce(beginning) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
