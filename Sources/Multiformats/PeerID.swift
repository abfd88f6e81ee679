/// Why a text or bytes do not name a peer.
package enum PeerIDError: Error, Equatable, Sendable, CustomStringConvertible {
    /// An Ed25519 public key has 32 bytes.
    case keyLength(byteCount: Int)
    /// The text is in no form that peer IDs have.
    case malformedText
    /// A peer ID of another kind of key, or the hash of one.
    case unsupportedKey

    package var description: String {
        let reason =
            switch self {
            case .keyLength(let byteCount):
                "an Ed25519 public key has 32 bytes, not \(byteCount)"
            case .malformedText: "the text is damaged or something else"
            case .unsupportedKey: "its key is not an Ed25519 key"
            }
        return "not a valid peer ID: \(reason); it should look like 12D3KooW…"
    }
}

/// A cluster member's name: its Ed25519 public key, written as libp2p does.
///
/// The text is the base58 of the identity multihash of the key in its Protocol Buffers frame
/// (libp2p peer ID specification). Peers are ordered by their bytes.
package struct PeerID: Hashable, Comparable, Sendable, CustomStringConvertible {
    private let key: Key32

    /// Multihash identity of 36 bytes, key type Ed25519, key of 32 bytes.
    private static let prefix: [UInt8] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

    /// - Throws: `keyLength` unless the key has 32 bytes.
    package init(publicKey: [UInt8]) throws(PeerIDError) {
        guard publicKey.count == 32 else { throw .keyLength(byteCount: publicKey.count) }
        key = publicKey.withUnsafeBytes { Key32(bytes: $0) }
    }

    /// Reads a peer ID's multihash, 38 bytes.
    package init(bytes: [UInt8]) throws(PeerIDError) {
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.prefix) else {
            throw .unsupportedKey
        }
        try self.init(publicKey: Array(bytes[6...]))
    }

    /// Reads the base58 text `12D3KooW…`, or a version 1 CID of codec libp2p-key in any base.
    package init(_ text: String) throws(PeerIDError) {
        let characters = Array(text.utf8)
        guard characters.count <= CID.maximumTextByteCount else { throw .malformedText }
        let isBase58 =
            characters.first == UInt8(ascii: "1") || characters.starts(with: Array("Qm".utf8))
        if isBase58 {
            let bytes: [UInt8]
            do {
                bytes = try Multibase.base58btc.decodeBody(characters, from: 0)
            } catch {
                throw .malformedText
            }
            try self.init(bytes: bytes)
        } else {
            let cid: CID
            do {
                cid = try CID(text)
            } catch {
                throw .malformedText
            }
            guard cid.codec == .libp2pKey, cid.isIdentity else { throw .unsupportedKey }
            try self.init(bytes: Array(cid.bytes[2...]))
        }
    }

    /// The Ed25519 public key, 32 bytes.
    package var publicKey: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            key.write(to: UnsafeMutableRawBufferPointer(buffer))
            count = 32
        }
    }

    /// Length of the multihash in bytes.
    package static let byteCount = 38

    /// The multihash, 38 bytes.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        append(to: &bytes)
        return bytes
    }

    /// Appends the multihash.
    package func append(to bytes: inout [UInt8]) {
        bytes.append(contentsOf: Self.prefix)
        key.append(to: &bytes)
    }

    /// Writes the multihash at the start of `bytes`, which must have room for it.
    package func write(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.copyBytes(from: Self.prefix)
        key.write(to: UnsafeMutableRawBufferPointer(rebasing: bytes[Self.prefix.count...]))
    }

    /// The text `12D3KooW…`.
    package var description: String {
        var text: [UInt8] = []
        bytes.withUnsafeBytes { Multibase.base58btc.append($0, to: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    package static func < (left: PeerID, right: PeerID) -> Bool {
        left.key < right.key
    }
}
