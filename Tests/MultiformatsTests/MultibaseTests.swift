import Multiformats
import SeededRandom
import Testing

struct MultibaseTests {
    /// Published in multiformats/multibase, tests/basic.csv and case_insensitivity.csv.
    @Test(arguments: [
        (Multibase.base16, "f796573206d616e692021"), (.base16Upper, "F796573206D616E692021"),
        (.base32, "bpfsxgidnmfxgsibb"), (.base32Upper, "BPFSXGIDNMFXGSIBB"),
        (.base36, "k2lcpzo5yikidynfl"), (.base36Upper, "K2LCPZO5YIKIDYNFL"),
        (.base58btc, "z7paNL19xttacUY"),
    ])
    func yesManiHasItsPublishedTexts(base: Multibase, text: String) throws {
        let bytes = Array("yes mani !".utf8)
        #expect(bytes.withUnsafeBytes { base.encode($0) } == text)
        #expect(try Multibase.decode(text) == bytes)
    }

    /// Published in multiformats/multibase, tests/two_leading_zeros.csv.
    @Test(arguments: [
        "f0000796573206d616e692021", "baaahszltebwwc3tjeaqq", "k002lcpzo5yikidynfl",
        "z117paNL19xttacUY",
    ])
    func leadingZerosAreKept(text: String) throws {
        let bytes = try Multibase.decode(text)
        #expect(bytes == [0, 0] + Array("yes mani !".utf8))
        let base = try #require(Multibase(rawValue: text.utf8.first ?? 0))
        #expect(bytes.withUnsafeBytes { base.encode($0) } == text)
    }

    @Test(arguments: Multibase.allCases)
    func bytesSurviveEveryBase(base: Multibase) throws {
        var random = SeededGenerator(seed: 58)
        for count in 0...70 {
            let bytes = random.bytes(count...count)
            #expect(try Multibase.decode(bytes.withUnsafeBytes { base.encode($0) }) == bytes)
        }
    }

    @Test(arguments: Multibase.allCases)
    func aTextThatIsReadIsTheOneThatIsWritten(base: Multibase) throws {
        var random = SeededGenerator(seed: 36)
        let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz")
        for _ in 0..<2000 {
            let length = Int.random(in: 0...12, using: &random)
            let body = (0..<length).map { _ in alphabet.randomElement(using: &random) ?? "a" }
            let text = String(decoding: [base.rawValue], as: UTF8.self) + String(body)
            // Texts outside the base are refused; those inside must be the only text of their bytes.
            guard let bytes = try? Multibase.decode(text) else { continue }
            let written = bytes.withUnsafeBytes { base.encode($0) }
            #expect(written.lowercased() == text.lowercased())
        }
    }

    @Test func damageIsToldApart() {
        #expect(throws: MultibaseError.empty) { try Multibase.decode("") }
        #expect(throws: MultibaseError.unknownBase("x")) { try Multibase.decode("xyz") }
        #expect(throws: MultibaseError.incomplete(.base16)) { try Multibase.decode("f123") }
        #expect(throws: MultibaseError.incomplete(.base32)) { try Multibase.decode("ba") }
        #expect(throws: MultibaseError.incomplete(.base32)) { try Multibase.decode("bab") }
        #expect(throws: MultibaseError.invalidCharacter(.base58btc, offset: 1)) {
            try Multibase.decode("zl")
        }
    }
}
