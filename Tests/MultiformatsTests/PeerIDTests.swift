import Multiformats
import SeededRandom
import Testing

struct PeerIDTests {
    /// The Ed25519 key of the libp2p peer ID specification; texts by an independent base58.
    private let key = hex("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
    private let text = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"

    @Test func theSpecificationsKeyHasItsText() throws {
        let peer = try PeerID(publicKey: key)
        #expect(peer.description == text)
        #expect(try PeerID(text) == peer)
        #expect(try PeerID(text).publicKey == key)
        #expect(try PeerID(bytes: peer.bytes) == peer)
    }

    @Test func theCIDFormIsReadToo() throws {
        let peer = try PeerID(publicKey: key)
        let cid = try CID(bytes: [1, 0x72] + peer.bytes)
        #expect(try PeerID(cid.description) == peer)
        #expect(try PeerID(try cid.text(.base36)) == peer)
    }

    @Test(arguments: UInt64(1)...20)
    func anyKeySurvivesARoundTripAndOrdersByItsBytes(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let keys = [random.bytes(32...32), random.bytes(32...32)]
        let peers = try keys.map { try PeerID(publicKey: $0) }
        #expect(try PeerID(peers[0].description) == peers[0])
        #expect(peers[0].description.hasPrefix("12D3KooW"))
        #expect((peers[0] < peers[1]) == keys[0].lexicographicallyPrecedes(keys[1]))
    }

    @Test func otherTextsAreRefusedForTheirReason() {
        #expect(throws: PeerIDError.keyLength(byteCount: 31)) {
            try PeerID(publicKey: Array(key.dropLast()))
        }
        for text in ["", "nobody", "12D3KooW", "12D3KooW0", String(text.dropLast()) + "l"] {
            #expect(throws: PeerIDError.self) { try PeerID(text) }
        }
        // A secp256k1 key type in front of as many bytes.
        #expect(throws: PeerIDError.unsupportedKey) {
            try PeerID(bytes: hex("002408021220") + key)
        }
        #expect(throws: PeerIDError.unsupportedKey) {
            try PeerID("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
        }
        #expect(throws: PeerIDError.unsupportedKey) {
            try PeerID("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
        }
    }
}
