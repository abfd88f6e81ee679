import Multiformats
import SeededRandom
import Testing

/// One entry of codec.json, whatever its category.
struct CodecVector: Decodable, CustomTestStringConvertible, Sendable {
    struct Expectation: Decodable, Sendable {
        let valid: Bool?
        let version: UInt8?
        let codec: UInt64?
        let mhCode: UInt64?
        let mhLen: Int?
        let bytesHex: String?
        let v1Base32: String?
        let v1Base36: String?
        let v1Base58Btc: String?
        let v1Base16: String?
        let cid: String?
        let reencodedHex: String?
    }

    let name: String
    let category: String
    let input: String?
    let hex: String?
    let expect: Expectation

    var testDescription: String { name }

    static func inCategory(_ category: String) -> [CodecVector] {
        VectorFiles.list(CodecVector.self, from: "codec.json").filter { $0.category == category }
    }
}

struct CIDTests {
    @Test func thereAreVectorsOfEveryCategory() {
        let counts = ["cid", "cid-parse", "dag-pb-decode", "dag-pb-strict"].map {
            CodecVector.inCategory($0).count
        }
        #expect(counts == [8, 6, 17, 13])
    }

    @Test(arguments: CodecVector.inCategory("cid"))
    func textBytesAndBasesAgreeWithGoCID(vector: CodecVector) throws {
        let text = try #require(vector.input)
        let cid = try CID(text)
        #expect(cid.version.rawValue == vector.expect.version)
        #expect(cid.codec.rawValue == vector.expect.codec)
        #expect(cid.hashFunction.rawValue == vector.expect.mhCode)
        #expect(cid.digestByteCount == vector.expect.mhLen)
        #expect(hex(cid.bytes) == vector.expect.bytesHex)
        #expect(cid.byteCount == cid.bytes.count)
        #expect(try cid.asV1.text(.base32) == vector.expect.v1Base32)
        #expect(try cid.asV1.text(.base36) == vector.expect.v1Base36)
        #expect(try cid.asV1.text(.base58btc) == vector.expect.v1Base58Btc)
        #expect(try cid.asV1.text(.base16) == vector.expect.v1Base16)
        #expect(cid.asV1.description == vector.expect.v1Base32)
        if cid.version == .v0 { #expect(cid.description == text) }
    }

    @Test(arguments: CodecVector.inCategory("cid-parse"))
    func textsAreAcceptedAndRefusedAsByGoCID(vector: CodecVector) throws {
        let text = try #require(vector.input)
        if vector.expect.valid == true {
            #expect(hex(try CID(text).bytes) == vector.expect.bytesHex)
        } else {
            #expect(throws: CIDError.self) { try CID(text) }
        }
    }

    @Test(arguments: UInt64(1)...20)
    func randomCIDsSurviveEveryForm(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            let cid = randomCID(&random)
            #expect(try CID(bytes: cid.bytes) == cid)
            #expect(cid.bytes.count == cid.byteCount)
            var appended: [UInt8] = []
            cid.append(to: &appended)
            #expect(appended == cid.bytes)
            #expect(try CID(cid.description) == cid)
            for base in Multibase.allCases where cid.version == .v1 || base == .base58btc {
                #expect(try CID(try cid.text(base)) == cid)
            }
        }
    }

    @Test(arguments: UInt64(1)...10)
    func orderAndEqualityAreThoseOfTheBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var cids = (0..<30).map { _ in randomCID(&random) }
        cids += cids.map(\.asV1)
        for left in cids {
            for right in cids {
                #expect((left == right) == (left.bytes == right.bytes))
                #expect((left < right) == left.bytes.lexicographicallyPrecedes(right.bytes))
            }
        }
    }

    @Test(arguments: UInt64(1)...20)
    func damagedBytesNeverGiveAWrongRoundTrip(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            var bytes = randomCID(&random).bytes
            bytes[Int.random(in: 0..<min(8, bytes.count), using: &random)] ^= UInt8.random(
                in: 1...255, using: &random)
            bytes.removeLast(Int.random(in: 0...min(3, bytes.count), using: &random))
            // A refusal is as good as a faithful reading.
            if let cid = try? CID(bytes: bytes) { #expect(cid.bytes == bytes) }
        }
    }

    @Test func everyFaultHasItsOwnError() throws {
        let v1 = try CID("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
        #expect(throws: CIDError.truncated) { try CID(bytes: []) }
        #expect(throws: CIDError.truncated) { try CID(bytes: Array(v1.bytes.dropLast())) }
        #expect(throws: CIDError.trailingBytes(count: 1)) { try CID(bytes: v1.bytes + [0]) }
        #expect(throws: CIDError.unsupportedVersion(2)) { try CID(bytes: [2] + v1.bytes[1...]) }
        #expect(throws: CIDError.malformedVarint(.notMinimal)) {
            try CID(bytes: [1, 0xd5, 0x00, 0x12, 0x20])
        }
        #expect(throws: CIDError.digestTooLong(byteCount: 129)) {
            try CID(bytes: [1, 0x55, 0, 0x81, 0x01])
        }
        #expect(throws: CIDError.textTooLong(byteCount: 3001)) {
            try CID("b" + String(repeating: "a", count: 3000))
        }
        #expect(throws: CIDError.malformedText(.unknownBase("ä"))) { try CID("ä") }
        #expect(throws: CIDError.malformedText(.invalidCharacter(.base32, offset: 58))) {
            try CID(String(v1.description.dropLast()) + "1")
        }
        #expect(throws: CIDError.malformedText(.invalidCharacter(.base58btc, offset: 2))) {
            try CID("Qm" + String(repeating: "0", count: 44))
        }
    }

    @Test func versionZeroHasOnePlainFormOnly() throws {
        let cid = try CID("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        #expect(throws: CIDError.versionZeroInMultibase) { try cid.text(.base32) }
        #expect(throws: CIDError.versionZeroInMultibase) { try CID("z" + cid.description) }
    }

    @Test func identityCIDsCarryTheirData() throws {
        let data = Array("test".utf8)
        let cid = data.withUnsafeBytes { CID.identity(codec: .raw, data: $0) }
        #expect(cid.description == "bafkqabdumvzxi")
        #expect(cid.identityData == data)
        #expect(try CID("bafkqaaa").identityData == [])
        #expect(try CID("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH").identityData == nil)
    }

    @Test func aCIDOfACommonDigestHasAFixedSmallSize() {
        #expect(MemoryLayout<CID>.size <= 64)
    }

    private let keys = CIDKeys(seed: 5)

    @Test func keysTellCIDsApartAndMultihashKeysDoNot() throws {
        let v0 = try CID("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        let raw = v0.withDigest {
            CID(version: .v1, codec: .raw, hashFunction: .sha2_256, digest: $0)
        }
        #expect(Set([v0, v0.asV1, raw].map(keys.key(of:))).count == 3)
        #expect(Set([v0, v0.asV1, raw].map(\.multihashKey32)).count == 1)
        #expect(v0.withDigest { Key32(bytes: $0) } == v0.multihashKey32)
        let long = try CID(
            "bafkrgqbqt3gerhas23vuzrapkdeqf4vu2dwxp3srdj6hvg6nhsug2tgyn6mj3u23yx7utftq3i2ckw2fwdh5qmhid5qf3t35yvkc5e5ottlw6"
        )
        let longPB = long.withDigest {
            CID(version: .v1, codec: .dagPB, hashFunction: .sha2_512, digest: $0)
        }
        #expect(keys.key(of: long) != keys.key(of: longPB))
        #expect(long.multihashKey32 == longPB.multihashKey32)
    }

    @Test func nobodyCanUploadABlockWithTheKeyOfAnotherHash() throws {
        let long = try CID(
            "bafkrgqbqt3gerhas23vuzrapkdeqf4vu2dwxp3srdj6hvg6nhsug2tgyn6mj3u23yx7utftq3i2ckw2fwdh5qmhid5qf3t35yvkc5e5ottlw6"
        )
        let hasher = try BlockHasher(.sha2_256)
        let mimic = try hasher.cid(version: .v1, codec: .raw, long.bytes)
        #expect(mimic.multihashKey32 != keys.key(of: long))
        #expect(mimic.multihashKey32 != long.multihashKey32)
    }

    @Test func nobodyCanLinkToNothingWithTheKeyOfABlockWithAnotherCodec() throws {
        let block = try CID("bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
        // All that an upload can say of a link is its codec and its digest.
        for code in [Codec.dagPB.rawValue, Codec.dagCBOR.rawValue, 1 << 62] {
            var digest = block.withDigest { Key32(bytes: $0) }
            digest.word3 ^= Codec.raw.rawValue ^ code
            let link = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { bytes in
                digest.write(to: bytes)
                return CID(
                    version: .v1, codec: Codec(rawValue: code), hashFunction: .sha2_256,
                    digest: UnsafeRawBufferPointer(bytes))
            }
            #expect(keys.key(of: link) != keys.key(of: block))
        }
    }

    @Test(arguments: UInt64(1)...5)
    func keysOrderAsTheirBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let (left, right) = (random.bytes(32...32), random.bytes(32...32))
            let keys = [left, right].map { $0.withUnsafeBytes { Key32(bytes: $0) } }
            #expect((keys[0] < keys[1]) == left.lexicographicallyPrecedes(right))
            let written = [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
                keys[0].write(to: UnsafeMutableRawBufferPointer(buffer))
                count = 32
            }
            #expect(written == left)
        }
    }
}

/// A CID of a random version, codec, hash function and digest.
func randomCID(_ random: inout SeededGenerator) -> CID {
    let version = Bool.random(using: &random) ? CID.Version.v0 : .v1
    let codecs: [Codec] = [.raw, .dagPB, .dagCBOR, .dagJSON, Codec(rawValue: 1 << 40)]
    let functions: [HashFunction] = [
        .sha2_256, .sha2_512, .blake2b256, .identity, .sha1, .blake3,
        HashFunction(rawValue: 0x7fff),
    ]
    let codec = version == .v0 ? .dagPB : codecs.randomElement(using: &random) ?? .raw
    let function = version == .v0 ? .sha2_256 : functions.randomElement(using: &random) ?? .sha1
    let count = function.digestByteCount ?? Int.random(in: 0...128, using: &random)
    return random.bytes(count...count).withUnsafeBytes {
        CID(version: version, codec: codec, hashFunction: function, digest: $0)
    }
}
