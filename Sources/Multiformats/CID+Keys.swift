import CLibcrypto

/// Uniform keys for tables: a sha2-256 digest is one already, other hashes are brought to that
/// form. Nobody can choose two CIDs with one key without a (near) collision of SHA-256.
extension CID {
    /// A key that differs for different CIDs.
    package var key32: Key32 {
        guard isPlainSHA256 else {
            return withUnsafeTemporaryAllocation(
                byteCount: Self.maximumByteCount, alignment: 1
            ) { buffer in
                let count = write(to: buffer)
                return Self.derivedKey(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
        var key = withDigest { Key32(bytes: $0) }
        // Codes have 63 bits at most, so the top bit is free for version 0.
        key.word3 ^= version == .v0 ? 1 << 63 : codec.rawValue
        return key
    }

    /// A key that differs for different multihashes: the versions and codecs of one multihash
    /// share it. For sha2-256 it is the digest.
    package var multihashKey32: Key32 {
        if isPlainSHA256 { return withDigest { Key32(bytes: $0) } }
        return CID(version: .v1, codec: .raw, self).key32
    }

    private var isPlainSHA256: Bool { hashFunction == .sha2_256 && digestByteCount == 32 }

    private init(version: Version, codec: Codec, _ other: CID) {
        self = other.withDigest {
            CID(version: version, codec: codec, hashFunction: other.hashFunction, digest: $0)
        }
    }

    /// SHA-256 of `bytes`, inverted: were it plain, a block holding exactly these bytes would get
    /// the same key by its own sha2-256 CID.
    private static func derivedKey(_ bytes: UnsafeRawBufferPointer) -> Key32 {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
            _ = SHA256(bytes.baseAddress, bytes.count, digest.baseAddress)
            let key = Key32(bytes: UnsafeRawBufferPointer(digest))
            return Key32(~key.word0, ~key.word1, ~key.word2, ~key.word3)
        }
    }
}
