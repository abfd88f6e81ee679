import Multiformats
import SeededRandom
import Testing

struct HashTests {
    struct Vector: Decodable, CustomTestStringConvertible, Sendable {
        let function: String
        let inputLength: Int
        let digestHex: String

        var testDescription: String { "\(function) of \(inputLength) bytes" }
        var input: [UInt8] { (0..<inputLength).map { UInt8($0 % 251) } }
    }

    @Test(arguments: VectorFiles.list(Vector.self, from: "hashes.json"))
    func digestsAreThoseOfOtherPrograms(vector: Vector) throws {
        let function = try HashFunction.named(vector.function)
        #expect(function.name == vector.function)
        let hasher = try BlockHasher(function)
        for _ in 0..<2 {  // the second time with a used context
            let digest = try vector.input.withUnsafeBytes { try hasher.digest($0) }
            #expect(hex(digest) == vector.digestHex)
            #expect(digest.count == function.digestByteCount)
        }
    }

    @Test(arguments: [
        "sha2-256", "sha3-384", "shake-256", "dbl-sha2-256", "blake2b-256", "blake2s-160", "blake3",
    ])
    func aBlockInThreePartsHasTheSameCID(name: String) throws {
        var random = SeededGenerator(seed: 3)
        let hasher = try BlockHasher(.named(name))
        for count in [0, 1, 64, 65, 128, 129, 1024, 1025, 5000] {
            let block = random.bytes(count...count)
            let whole = try hasher.cid(version: .v1, codec: .raw, block)
            for _ in 0..<5 {
                let cuts = [0...count, 0...count].map { Int.random(in: $0, using: &random) }
                    .sorted()
                let parts = try block.withUnsafeBytes {
                    try hasher.cid(
                        version: .v1, codec: .raw,
                        UnsafeRawBufferPointer(rebasing: $0[..<cuts[0]]),
                        UnsafeRawBufferPointer(rebasing: $0[cuts[0]..<cuts[1]]),
                        UnsafeRawBufferPointer(rebasing: $0[cuts[1]...]))
                }
                #expect(parts == whole)
            }
        }
    }

    @Test func emptyBlocksHaveTheirKnownCIDs() throws {
        let hasher = try BlockHasher(.sha2_256)
        #expect(
            try hasher.cid(version: .v1, codec: .raw, []).description
                == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
        #expect(
            try hasher.cid(version: .v0, codec: .dagPB, hex("0a0408021800")).description
                == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        // ipfs/kubo test/sharness/t0800-blake3.sh
        #expect(
            try BlockHasher(.blake3).cid(version: .v1, codec: .raw, Array("foo\n".utf8)).description
                == "bafkr4icj3sdq34o6p7lapfgoxtset5om3lsxll72uz5cjnrkzmb6aoo3si")
    }

    @Test func identityHoldsWhatFitsAndRefusesMore() throws {
        let hasher = try BlockHasher(.identity)
        let data = [UInt8](repeating: 7, count: 128)
        #expect(try hasher.cid(version: .v1, codec: .raw, data).identityData == data)
        #expect(throws: HashError.identityTooLong(byteCount: 129)) {
            try hasher.cid(version: .v1, codec: .raw, data + [7])
        }
    }

    @Test func unavailableAndUnknownFunctionsAreNamed() {
        #expect(throws: HashError.unavailable(.keccak256)) { try BlockHasher(.keccak256) }
        #expect(throws: HashError.unavailable(HashFunction(rawValue: 0x3f99))) {
            try BlockHasher(HashFunction(rawValue: 0x3f99))
        }
        for name in [
            "", "sha256", "blake2b-8", "blake2b-257", "blake2b-520", "blake2s-512", "SHA1",
        ] {
            #expect(throws: HashError.unknownName(name)) { try HashFunction.named(name) }
        }
        let sentence = HashError.unavailable(.keccak256).description
        #expect(sentence.contains("keccak-256 is not available"))
        #expect(sentence.contains("choose one of sha2-256"))
        #expect(!HashFunction.availableNames.contains("keccak"))
    }

    @Test func verificationTellsGoodBlocksFromBad() throws {
        let verifier = BlockVerifier()
        for name in ["sha2-256", "sha1", "blake2b-256", "blake3", "identity"] {
            var block = Array("some block".utf8)
            let cid = try BlockHasher(.named(name)).cid(version: .v1, codec: .raw, block)
            #expect(try block.withUnsafeBytes { try verifier.verify(cid, $0) })
            block[3] ^= 1
            #expect(try !block.withUnsafeBytes { try verifier.verify(cid, $0) })
        }
    }

    @Test func cutDigestsAreNotTakenForProof() throws {
        let cut = try CID("bafkreez3itiri7ghbbf6lzej7paxyxy2qznpw")
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(throws: HashError.digestLength(.sha2_256, byteCount: 19)) {
            try BlockVerifier().verify(cut, nothing)
        }
    }
}
