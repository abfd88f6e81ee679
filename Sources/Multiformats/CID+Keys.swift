import CLibcrypto

/// Keys for the tables of one import or walk: they differ for different CIDs.
///
/// A link may have any digest. So what tells codecs apart is derived from the seed, or a link to no block could be
/// given the key of a block with another codec.
package struct CIDKeys: Sendable {
    private let seed: UInt64
    private let raw: Key32
    private let dagPB: Key32

    /// - Parameter seed: A random number: whoever makes the CIDs must not foresee it.
    package init(seed: UInt64) {
        self.seed = seed
        raw = Self.mask(Codec.raw.rawValue, seed)
        dagPB = Self.mask(Codec.dagPB.rawValue, seed)
    }

    package func key(of cid: CID) -> Key32 {
        guard cid.isPlainSHA256 else { return cid.derivedKey }
        // Codes have 63 bits at most, so the top bit is free for version 0.
        let mask =
            switch (cid.version, cid.codec) {
            case (.v0, _): Self.mask(1 << 63, seed)
            case (_, .raw): raw
            case (_, .dagPB): dagPB
            case (_, let codec): Self.mask(codec.rawValue, seed)
            }
        let digest = cid.withDigest { Key32(bytes: $0) }
        return Key32(
            digest.word0 ^ mask.word0, digest.word1 ^ mask.word1, digest.word2 ^ mask.word2,
            digest.word3 ^ mask.word3)
    }

    private static func mask(_ form: UInt64, _ seed: UInt64) -> Key32 {
        withUnsafeBytes(of: (seed.bigEndian, form.bigEndian)) { CID.derivedKey($0) }
    }
}

/// Uniform keys for tables: a sha2-256 digest is one already, other hashes are brought to that
/// form. Nobody can choose two CIDs with one key without a collision of SHA-256.
extension CID {
    /// A key that differs for different multihashes: the versions and codecs of one multihash
    /// share it. For sha2-256 it is the digest.
    package var multihashKey32: Key32 {
        if isPlainSHA256 { return withDigest { Key32(bytes: $0) } }
        return CID(version: .v1, codec: .raw, self).derivedKey
    }

    fileprivate var isPlainSHA256: Bool { hashFunction == .sha2_256 && digestByteCount == 32 }

    private init(version: Version, codec: Codec, _ other: CID) {
        self = other.withDigest {
            CID(version: version, codec: codec, hashFunction: other.hashFunction, digest: $0)
        }
    }

    fileprivate var derivedKey: Key32 {
        withUnsafeTemporaryAllocation(byteCount: Self.maximumByteCount, alignment: 1) { buffer in
            let count = write(to: buffer)
            return Self.derivedKey(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// SHA-256 of `bytes`, inverted: were it plain, a block holding exactly these bytes would get
    /// the same key by its own sha2-256 CID.
    fileprivate static func derivedKey(_ bytes: UnsafeRawBufferPointer) -> Key32 {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
            _ = SHA256(bytes.baseAddress, bytes.count, digest.baseAddress)
            let key = Key32(bytes: UnsafeRawBufferPointer(digest))
            return Key32(~key.word0, ~key.word1, ~key.word2, ~key.word3)
        }
    }
}
