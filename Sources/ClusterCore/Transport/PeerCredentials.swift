import Crypto
import Multiformats
import NIOSSL
import SwiftASN1
import X509

import struct Foundation.Date

/// What a peer shows to others of its cluster: a fresh TLS key and a certificate for it.
///
/// The certificate says two things. Its signature, by an authority made from the cluster's secret,
/// says that the holder belongs to the cluster; TLS checks that. Its libp2p extension says which
/// peer the holder is, and the secret is not enough to forge it; `PeerID(provenBy:)` checks that.
package struct PeerCredentials: Sendable, CustomStringConvertible {
    package let peer: PeerID
    package let authorityPEM: String
    package let certificatePEM: String
    /// The private key. Nobody else needs it, except an etcd that this process starts.
    package let keyPEM: String

    private let authority: NIOSSLCertificate
    private let certificate: NIOSSLCertificate
    private let key: NIOSSLPrivateKey

    /// Makes a new key and a certificate for it.
    ///
    /// - Parameters:
    ///   - addresses: DNS names and IP addresses under which programs that know nothing of peers
    ///     reach this one.
    ///   - now: The certificate holds from a day before, for clocks that are behind, to ten years
    ///     after.
    package init(
        secret: ClusterSecret, identity: PeerIdentity, addresses: [String] = [], now: Date
    ) throws {
        try self.init(secret: secret, peer: identity.peer, addresses: addresses, now: now) {
            try PeerProof(identity, over: $0)
        }
    }

    /// - Parameter makeProof: The proof to put into the certificate, given the DER of its key.
    init(
        secret: ClusterSecret, peer: PeerID, addresses: [String] = [], now: Date,
        makeProof: (_ keyInfo: [UInt8]) throws -> PeerProof
    ) throws {
        let authority = try ClusterAuthority(secret)
        let key = P256.Signing.PrivateKey()
        let certificate = try authority.issue(
            to: peer, key: key.publicKey,
            proof: makeProof(Array(key.publicKey.derRepresentation)),
            addresses: addresses, now: now)
        self.peer = peer
        authorityPEM = try authority.certificate.serializeAsPEM().pemString
        certificatePEM = try certificate.serializeAsPEM().pemString
        keyPEM = key.pemRepresentation
        self.authority = try NIOSSLCertificate(bytes: Array(authorityPEM.utf8), format: .pem)
        self.certificate = try NIOSSLCertificate(bytes: Array(certificatePEM.utf8), format: .pem)
        self.key = try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem)
    }

    /// Without the private key, which would end up in logs.
    package var description: String { "credentials of \(peer)" }

    /// Takes clients with a certificate of the cluster and nobody else.
    ///
    /// A client has no name to check: which peer it is, `PeerID(provenBy:)` says.
    package var serverConfiguration: TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
        configuration.certificateVerification = .noHostnameVerification
        // A client with an idle connection does not read and so never answers the farewell.
        configuration.shutdownTimeout = .milliseconds(200)
        restrict(&configuration)
        return configuration
    }

    /// Takes a server that the cluster's certificate gives the name asked for.
    package var clientConfiguration: TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = [.certificate(certificate)]
        configuration.privateKey = .privateKey(key)
        configuration.certificateVerification = .fullVerification
        restrict(&configuration)
        return configuration
    }

    private func restrict(_ configuration: inout TLSConfiguration) {
        configuration.minimumTLSVersion = .tlsv13
        configuration.maximumTLSVersion = .tlsv13
        configuration.trustRoots = .certificates([authority])
    }

    /// The DNS name in a peer's certificate, for clients to ask for; no name server knows it.
    ///
    /// Its first label is the peer ID as a CID in base 36: 62 characters, where DNS allows 63 and
    /// tells no upper from lower case, as base 58 would need.
    package static func serverName(of peer: PeerID) -> String {
        let multihashHead = 2  // the CID brings its own
        let cid = Array(peer.bytes[multihashHead...]).withUnsafeBytes {
            CID.identity(codec: .libp2pKey, data: $0)
        }
        return cid.bytes.withUnsafeBytes { Multibase.base36.encode($0) } + ".peer.ingestd.internal"
    }
}
