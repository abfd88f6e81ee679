import Crypto
import Multiformats
import SwiftASN1
import X509

/// Why a certificate proves no peer.
package enum PeerCertificateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes are no certificate, or one with a kind of key we cannot read.
    case malformed(finding: String)
    /// The certificate has no libp2p extension.
    case noProof
    case malformedProof(finding: String)
    /// The extension holds a key of another kind than Ed25519.
    case unsupportedKey
    /// The extension was not made by that peer for the certificate's own key.
    case wrongSignature(of: PeerID)

    package var description: String {
        switch self {
        case .malformed(let finding):
            """
            the other side's certificate cannot be read (\(finding)); \
            check that the address is that of a peer's cluster port
            """
        case .noProof:
            """
            the other side's certificate names no peer; \
            check that the address is that of a peer's cluster port
            """
        case .malformedProof(let finding):
            """
            the peer's key in the other side's certificate is damaged (\(finding)); \
            restart that peer, which makes a new certificate
            """
        case .unsupportedKey:
            """
            the peer in the other side's certificate has no Ed25519 key; \
            make an identity for it with ingestd init
            """
        case .wrongSignature(let peer):
            """
            the other side's certificate names peer \(peer) without that peer's signature, \
            so another program passes as it; find who has the cluster's secret and replace it
            """
        }
    }
}

extension PeerID {
    /// The peer that a certificate proves: its libp2p extension is well-formed, and signed over the
    /// certificate's own key by that peer's identity.
    ///
    /// Who signed the certificate and until when it holds is not looked at: the handshake did that.
    /// Since all peers have the authority's key, each could put any server name into a certificate,
    /// so a client must compare this peer with the one it wants to reach.
    package init(provenBy certificateDER: [UInt8]) throws(PeerCertificateError) {
        let certificate: Certificate
        let keyInfo: [UInt8]
        do {
            certificate = try Certificate(derEncoded: certificateDER)
            keyInfo = try certificate.publicKey.serializeAsPEM().derBytes
        } catch {
            throw .malformed(finding: "\(error)")
        }
        guard let found = certificate.extensions[oid: PeerProof.oid] else { throw .noProof }
        let proof: PeerProof
        do {
            proof = try PeerProof(derEncoded: found.value)
        } catch {
            throw .malformedProof(finding: "\(error)")
        }
        self = try proof.signer(of: keyInfo)
    }
}

/// A peer's signature over the key of a certificate: `SignedKey` of libp2p's TLS specification,
/// section "libp2p Public Key Extension".
struct PeerProof: Equatable, Sendable {
    /// Assigned to libp2p.
    static let oid: ASN1ObjectIdentifier = [1, 3, 6, 1, 4, 1, 53594, 1, 1]

    /// The identity's public key in its Protocol Buffers frame.
    private let publicKey: [UInt8]
    private let signature: [UInt8]

    /// Multihash identity of 36 bytes: with it, a framed key is the bytes of a peer ID.
    private static let multihashPrefix: [UInt8] = [0x00, 0x24]

    /// Signs the key of a certificate.
    ///
    /// - Parameter keyInfo: The certificate's SubjectPublicKeyInfo in DER.
    init(_ identity: PeerIdentity, over keyInfo: [UInt8]) throws {
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: identity.seed)
        publicKey = Array(identity.peer.bytes[Self.multihashPrefix.count...])
        signature = Array(try key.signature(for: Self.message(keyInfo)))
    }

    /// The peer that made this proof for the key of a certificate.
    func signer(of keyInfo: [UInt8]) throws(PeerCertificateError) -> PeerID {
        let peer: PeerID
        let key: Curve25519.Signing.PublicKey
        do {
            peer = try PeerID(bytes: Self.multihashPrefix + publicKey)
            key = try Curve25519.Signing.PublicKey(rawRepresentation: peer.publicKey)
        } catch {
            throw .unsupportedKey
        }
        guard key.isValidSignature(signature, for: Self.message(keyInfo)) else {
            throw .wrongSignature(of: peer)
        }
        return peer
    }

    private static func message(_ keyInfo: [UInt8]) -> [UInt8] {
        Array("libp2p-tls-handshake:".utf8) + keyInfo
    }
}

extension PeerProof: DERImplicitlyTaggable {
    static var defaultIdentifier: ASN1Identifier { .sequence }

    init(derEncoded node: ASN1Node, withIdentifier identifier: ASN1Identifier) throws {
        self = try DER.sequence(node, identifier: identifier) { nodes in
            let publicKey = try ASN1OctetString(derEncoded: &nodes)
            let signature = try ASN1OctetString(derEncoded: &nodes)
            return PeerProof(publicKey: Array(publicKey.bytes), signature: Array(signature.bytes))
        }
    }

    private init(publicKey: [UInt8], signature: [UInt8]) {
        self.publicKey = publicKey
        self.signature = signature
    }

    func serialize(
        into coder: inout DER.Serializer, withIdentifier identifier: ASN1Identifier
    ) throws {
        try coder.appendConstructedNode(identifier: identifier) { coder in
            try coder.serialize(ASN1OctetString(contentBytes: publicKey[...]))
            try coder.serialize(ASN1OctetString(contentBytes: signature[...]))
        }
    }
}

extension PeerProof: CertificateExtensionConvertible {
    /// Not critical: etcd reads these certificates too, and knows nothing of libp2p.
    func makeCertificateExtension() throws -> Certificate.Extension {
        var serializer = DER.Serializer()
        try serializer.serialize(self)
        return Certificate.Extension(
            oid: Self.oid, critical: false, value: serializer.serializedBytes[...])
    }
}
