import Crypto
import Glibc
import Multiformats
import SwiftASN1
import X509

import struct Foundation.Date

/// The certificate authority of a cluster, which every peer makes for itself from the secret.
///
/// Signatures and serial numbers differ between peers. Name and key are equal, and a certificate
/// leads to its authority by these alone, so each peer's authority vouches for all peers.
struct ClusterAuthority {
    let certificate: Certificate
    private let key: P256.Signing.PrivateKey

    init(_ secret: ClusterSecret) throws {
        let key = Self.key(of: secret)
        let publicKey = Certificate.PublicKey(key.publicKey)
        let name = try DistinguishedName { CommonName("ingestd cluster \(secret.fingerprint)") }
        certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: publicKey,
            notValidBefore: Self.validFrom, notValidAfter: Self.validTo,
            issuer: name, subject: name,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
        self.key = key
    }

    /// SubjectPublicKeyInfo in DER.
    var keyInfo: [UInt8] { Array(key.publicKey.derRepresentation) }

    /// The start of the year 2000, before any clock that is merely wrong.
    private static let validFrom = Date(timeIntervalSince1970: 946_684_800)
    /// The last second of 9999, which stands for no end at all (RFC 5280, section 4.1.2.5).
    private static let validTo = Date(timeIntervalSince1970: 253_402_300_799)

    /// The first number derived from the secret that is a private key of the curve. About one in
    /// four thousand million is none.
    private static func key(of secret: ClusterSecret) -> P256.Signing.PrivateKey {
        var attempt = 0
        while true {
            let scalar = secret.derive("ingestd cluster authority 1 \(attempt)", byteCount: 32)
            // A number out of range is the only reason to throw, and the next one will do.
            if let key = try? P256.Signing.PrivateKey(rawRepresentation: scalar) { return key }
            attempt += 1
        }
    }
}

// MARK: - Certificates of peers

extension ClusterAuthority {
    /// A certificate for a peer's TLS key.
    ///
    /// - Parameters:
    ///   - addresses: DNS names and IP addresses that the certificate holds for, besides the
    ///     peer's server name.
    ///   - now: The certificate holds from a day before to ten years after.
    func issue(
        to peer: PeerID, key subjectKey: P256.Signing.PublicKey, proof: PeerProof,
        addresses: [String], now: Date
    ) throws -> Certificate {
        let names = [PeerCredentials.serverName(of: peer)] + addresses
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(subjectKey),
            notValidBefore: now.addingTimeInterval(-Self.day),
            notValidAfter: now.addingTimeInterval(Self.tenYears),
            issuer: certificate.subject,
            subject: DistinguishedName { CommonName(peer.description) },
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames(names.map(GeneralName.init(address:)))
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
                proof
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
    }

    /// In seconds.
    private static let day = 86_400.0
    private static let tenYears = 3_652 * day
}

extension GeneralName {
    /// An IP address if the text is one, else a DNS name.
    fileprivate init(address: String) {
        var octets = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, address, &octets) == 1 {
            self = .ipAddress(ASN1OctetString(contentBytes: octets[..<4]))
        } else if inet_pton(AF_INET6, address, &octets) == 1 {
            self = .ipAddress(ASN1OctetString(contentBytes: octets[...]))
        } else {
            self = .dnsName(address)
        }
    }
}
