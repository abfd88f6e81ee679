import Crypto
import Foundation
import Multiformats

/// This peer's Ed25519 key and the peer ID made of it.
///
/// The file is `identity.json` as ipfs-cluster writes it: the peer ID, and the key in libp2p's
/// Protocol Buffers frame as base64. Whoever reads it can act as this peer, so its mode is 0600.
package struct PeerIdentity: Sendable {
    package static let fileName = "identity.json"

    package let peer: PeerID
    private let key: Curve25519.Signing.PrivateKey

    private init(_ key: Curve25519.Signing.PrivateKey) {
        self.key = key
        do {
            peer = try PeerID(publicKey: Array(key.publicKey.rawRepresentation))
        } catch {
            preconditionFailure("an Ed25519 public key has 32 bytes: \(error)")
        }
    }

    /// An identity that is nowhere on disk, from the system's random numbers.
    package init() {
        self.init(Curve25519.Signing.PrivateKey())
    }

    /// The seed, 32 bytes: for certificates that are bound to this identity.
    package var seed: [UInt8] { Array(key.rawRepresentation) }
}

// MARK: - Signing

/// What a signature is for. It is signed along, so that one kind of message never passes as another.
package enum SignaturePurpose: String, Sendable {
    case receipt = "ingestd receipt 1"
}

extension PeerIdentity {
    /// Signs a message for one purpose: 64 bytes.
    package func sign(_ message: [UInt8], for purpose: SignaturePurpose) throws -> [UInt8] {
        Array(try key.signature(for: purpose.signed(message)))
    }
}

extension PeerID {
    /// Whether this peer signed `message` for this purpose.
    package func signed(
        _ message: [UInt8], for purpose: SignaturePurpose, signature: [UInt8]
    ) -> Bool {
        // A public key that is not a point of the curve signs nothing.
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: publicKey) else {
            return false
        }
        return key.isValidSignature(signature, for: purpose.signed(message))
    }
}

extension SignaturePurpose {
    fileprivate func signed(_ message: [UInt8]) -> [UInt8] {
        Array(rawValue.utf8) + [0] + message
    }
}

// MARK: - The file

extension PeerIdentity {
    private struct Document: Codable {
        var id: String
        var privateKey: String

        enum CodingKeys: String, CodingKey {
            case id
            case privateKey = "private_key"
        }
    }

    /// Key type Ed25519 and 64 bytes of seed and public key (libp2p peer ID specification).
    private static let frame: [UInt8] = [0x08, 0x01, 0x12, 0x40]

    /// Reads the identity of a data directory.
    package static func load(from directory: String) throws(IdentityError) -> PeerIdentity {
        let file = IdentityFile(directory: directory, name: fileName)
        let path = file.path
        let bytes = try file.load(isSecret: true)
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(bytes))
        } catch {
            throw .malformed(path: path, finding: "not the JSON of an identity")
        }
        let framed = Data(base64Encoded: document.privateKey).map(Array.init) ?? []
        guard framed.count == 68, framed.starts(with: frame) else {
            throw .malformed(path: path, finding: "the private key is not an Ed25519 key of libp2p")
        }
        let identity: PeerIdentity
        do {
            identity = PeerIdentity(
                try Curve25519.Signing.PrivateKey(rawRepresentation: framed[4..<36]))
        } catch {
            throw .malformed(path: path, finding: "the private key is not an Ed25519 key")
        }
        guard Array(framed[36...]) == identity.peer.publicKey else {
            throw .malformed(path: path, finding: "the halves of the key do not belong together")
        }
        guard document.id == identity.peer.description else {
            throw .keyDiffers(
                path: path, named: document.id, found: identity.peer.description)
        }
        return identity
    }

    /// Writes this identity into a data directory that has none, and syncs it.
    package func save(to directory: String) throws(IdentityError) {
        let framed = Data(Self.frame + seed + peer.publicKey).base64EncodedString()
        // Written by hand: the order of keys is part of the format.
        let text = """
            {
              "id": "\(peer)",
              "private_key": "\(framed)"
            }

            """
        try IdentityFile(directory: directory, name: Self.fileName)
            .create(Array(text.utf8), permissions: 0o600)
    }
}
