import Foundation
import Multiformats
import NIOSSL
import Testing

@testable import ClusterCore

@Suite struct PeerCredentialsTests {
    private let secret = ClusterSecret.random()

    private func credentials(of identity: PeerIdentity = PeerIdentity()) throws -> PeerCredentials {
        try PeerCredentials(secret: secret, identity: identity, now: Date())
    }

    @Test func equalSecretsGiveEqualAuthorityKeysAndOtherSecretsOthers() throws {
        let same = try #require(ClusterSecret(hexadecimal: secret.text))
        let authority = try ClusterAuthority(secret)
        #expect(try ClusterAuthority(same).keyInfo == authority.keyInfo)
        #expect(try ClusterAuthority(same).certificate.subject == authority.certificate.subject)
        #expect(try ClusterAuthority(.random()).keyInfo != authority.keyInfo)
    }

    /// By OpenSSL 3: the scalar with `openssl kdf` as above, its key with `openssl pkey`.
    @Test func theAuthorityKeyIsThatOfOpenSSL() throws {
        let secret = try #require(ClusterSecret(bytes: Array(0..<32)))
        let y = "19de6b096c153da6bd9086f5eccc3e798d404e8f28e58cb9617a3df8a084b699"
        #expect(
            try ClusterAuthority(secret).keyInfo.suffix(32) == Multibase.decode("f" + y)[...])
    }

    @Test func aCertificateProvesItsPeer() throws {
        let identity = PeerIdentity()
        let credentials = try credentials(of: identity)
        #expect(credentials.peer == identity.peer)
        #expect(try PeerID(provenBy: der(credentials.certificatePEM)) == identity.peer)
    }

    /// Vector 1 of libp2p's TLS specification.
    @Test func aCertificateOfLibp2pProvesItsPeer() throws {
        let certificate =
            "308201ae30820156a0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13"
            + "096c69627032702e696f310a300806035504051301313020170d3735303130313133303030305a180f34"
            + "303936303130313133303030305a302031123010060355040a13096c69627032702e696f310a30080603"
            + "5504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca85e"
            + "27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651"
            + "691606d8173e55bd37e381569ea37c307a3078060a2b0601040183a25a0101046a3068042408011220a7"
            + "7f1d92fedb59dddaea5a1c4abd1ac2fbde7d7b879ed364501809923d7c11b90440d90d2769db992d5e61"
            + "95dbb08e706b6651e024fda6cfb8846694a435519941cac215a8207792e42849cccc6cd8136c6e4bde92"
            + "a58c5e08cfd4206eb5fe0bf909300a06082a8648ce3d0403020346003043021f50f6b6c52711a8817787"
            + "18238f650c9fb48943ae6ee6d28427dc6071ae55e702203625f116a7a454db9c56986c82a25682f7248e"
            + "a1cb764d322ea983ed36a31b77"
        #expect(
            try PeerID(provenBy: Multibase.decode("f" + certificate)).description
                == "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv")
    }

    /// Vector 3 of libp2p's TLS specification, of a secp256k1 key.
    @Test func aPeerWithAnotherKindOfKeyIsRefused() throws {
        let certificate =
            "308201ba3082015fa0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13"
            + "096c69627032702e696f310a300806035504051301313020170d3735303130313133303030305a180f34"
            + "303936303130313133303030305a302031123010060355040a13096c69627032702e696f310a30080603"
            + "5504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca85e"
            + "27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651"
            + "691606d8173e55bd37e381569ea38184308181307f060a2b0601040183a25a01010471306f0425080212"
            + "210206dc6968726765b820f050263ececf7f71e4955892776c0970542efd689d2382044630440220145e"
            + "15a991961f0d08cd15425bb95ec93f6ffa03c5a385eedc34ecf464c7a8ab022026b3109b8a3f40ef8331"
            + "69777eb2aa337cfb6282f188de0666d1bcec2a4690dd300a06082a8648ce3d0403020349003046022100"
            + "e1a217eeef9ec9204b3f774a08b70849646b6a1e6b8b27f93dc00ed58545d9fe022100b00dafa549d0f0"
            + "3547878338c7b15e7502888f6d45db387e5ae6b5d46899cef0"
        #expect(throws: PeerCertificateError.unsupportedKey) {
            try PeerID(provenBy: Multibase.decode("f" + certificate))
        }
    }

    @Test func aProofOverAnotherKeyIsRefused() throws {
        let victim = PeerIdentity()
        let thief = try PeerCredentials(secret: secret, peer: victim.peer, now: Date()) { keyInfo in
            try PeerProof(victim, over: keyInfo.reversed())
        }
        #expect(throws: PeerCertificateError.wrongSignature(of: victim.peer)) {
            try PeerID(provenBy: der(thief.certificatePEM))
        }
    }

    @Test func aCertificateNamesThePeerOfItsProofWhateverElseItSays() throws {
        let thief = PeerIdentity()
        let credentials = try PeerCredentials(
            secret: secret, peer: PeerIdentity().peer, now: Date()
        ) { keyInfo in
            try PeerProof(thief, over: keyInfo)
        }
        #expect(try PeerID(provenBy: der(credentials.certificatePEM)) == thief.peer)
    }

    @Test func aCertificateWithoutAProofIsRefused() throws {
        let authority = try der(credentials().authorityPEM)
        #expect(throws: PeerCertificateError.noProof) { try PeerID(provenBy: authority) }
    }

    @Test func aDamagedCertificateNeverProvesAnotherPeer() throws {
        let identity = PeerIdentity()
        let certificate = try der(credentials(of: identity).certificatePEM)
        for index in certificate.indices {
            var damaged = certificate
            damaged[index] ^= 1
            do throws(PeerCertificateError) {
                #expect(try PeerID(provenBy: damaged) == identity.peer)
            } catch {
                #expect(!error.description.isEmpty)
            }
            #expect(throws: PeerCertificateError.self) {
                try PeerID(provenBy: Array(certificate[..<index]))
            }
        }
    }

    @Test func everyPeerHasAServerNameOfItsOwnThatIsOneInDNS() throws {
        let peer = PeerIdentity().peer
        let name = PeerCredentials.serverName(of: peer)
        #expect(name != PeerCredentials.serverName(of: PeerIdentity().peer))
        let labels = name.split(separator: ".")
        #expect(labels.dropFirst() == ["peer", "ingestd", "internal"])
        #expect(labels.allSatisfy { $0.utf8.count <= 63 })
        #expect(labels[0].hasPrefix("k51") && labels[0].utf8.count == 62)
        #expect(try PeerID(String(labels[0])) == peer)
    }

    @Test func aPrintedDescriptionHasNoPrivateKey() throws {
        let credentials = try credentials()
        #expect("\(credentials)" == "credentials of \(credentials.peer)")
    }

    private func der(_ pem: String) throws -> [UInt8] {
        try NIOSSLCertificate(bytes: Array(pem.utf8), format: .pem).toDERBytes()
    }
}
