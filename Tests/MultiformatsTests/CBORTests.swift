import Multiformats
import SeededRandom
import Testing

struct CBORTests {
    /// RFC 8949, appendix A, those of its examples that DAG-CBOR allows.
    @Test(arguments: [
        ("00", CBOR.unsigned(0)), ("17", .unsigned(23)), ("1818", .unsigned(24)),
        ("1864", .unsigned(100)), ("1903e8", .unsigned(1000)), ("1a000f4240", .unsigned(1_000_000)),
        ("1b000000e8d4a51000", .unsigned(1_000_000_000_000)),
        ("1bffffffffffffffff", .unsigned(.max)), ("3bffffffffffffffff", .negative(.max)),
        ("20", .integer(-1)), ("3863", .integer(-100)), ("3903e7", .integer(-1000)),
        ("fb3ff199999999999a", .float(1.1)), ("fbc010666666666666", .float(-4.1)),
        ("f4", .bool(false)), ("f5", .bool(true)), ("f6", .null),
        ("40", .bytes([])), ("4401020304", .bytes([1, 2, 3, 4])),
        ("60", .string("")), ("6449455446", .string("IETF")), ("62c3bc", .string("\u{fc}")),
        ("80", .array([])),
        (
            "8301820203820405",
            .array([
                .unsigned(1), .array([.unsigned(2), .unsigned(3)]),
                .array([.unsigned(4), .unsigned(5)]),
            ])
        ),
        ("a0", .map([])),
        (
            "a26161016162820203",
            .map([
                CBOR.Entry("a", .unsigned(1)),
                CBOR.Entry("b", .array([.unsigned(2), .unsigned(3)])),
            ])
        ),
    ])
    func publishedExamplesAreReadAndWritten(text: String, value: CBOR) throws {
        #expect(try CBOR(decoding: hex(text)) == value)
        #expect(hex(value.encoded) == text)
    }

    @Test func aPublishedShardListIsReadAndWritten() throws {
        // ipfs-cluster: one link under "0".
        let text =
            "a16130d82a58230012209273fd63ec94bed5abb219b2d9cb010cabe4af7b0177292d4335eff50464060a"
        let value = try CBOR(decoding: hex(text))
        let link = try #require(value["0"]?.cidValue)
        #expect(link.version == .v0)
        #expect(hex(value.encoded) == text)
        let cid = try BlockHasher(.sha2_256).cid(version: .v1, codec: .dagCBOR, hex(text))
        #expect(
            try cid.text(.base58btc) == "zdpuAoiNm1ntWx6jpgcReTiCWFHJSTpvTw4bAAn9p6yDnznqh")
    }

    @Test func keysAreWrittenShorterFirstThenByBytes() throws {
        let value = CBOR.map(
            ["10", "9", "100", "2", "\u{e9}"].map { CBOR.Entry($0, .null) })
        let keys = try #require(try CBOR(decoding: value.encoded).mapValue).map {
            String(decoding: $0.key, as: UTF8.self)
        }
        #expect(keys == ["2", "9", "10", "\u{e9}", "100"])
    }

    @Test(arguments: [
        ("", CBORError.truncated(offset: 0)),
        ("1800", .notMinimal(offset: 0)), ("1817", .notMinimal(offset: 0)),
        ("1900ff", .notMinimal(offset: 0)), ("1a0000ffff", .notMinimal(offset: 0)),
        ("1b00000000ffffffff", .notMinimal(offset: 0)),
        ("0000", .trailingBytes(offset: 1)),
        ("9f01ff", .unsupportedItem(byte: 0x9f, offset: 0)),
        ("5f4101ff", .unsupportedItem(byte: 0x5f, offset: 0)),
        ("f7", .unsupportedItem(byte: 0xf7, offset: 0)),
        ("f93c00", .unsupportedItem(byte: 0xf9, offset: 0)),
        ("fa3f800000", .unsupportedItem(byte: 0xfa, offset: 0)),
        ("fb7ff0000000000000", .unsupportedItem(byte: 0xfb, offset: 0)),
        ("fb7ff8000000000000", .unsupportedItem(byte: 0xfb, offset: 0)),
        ("ff", .unsupportedItem(byte: 0xff, offset: 0)),
        ("c100", .unsupportedTag(1, offset: 0)),
        ("d82a41", .truncated(offset: 0)), ("d82a00", .malformedLink(nil, offset: 0)),
        ("d82a40", .malformedLink(nil, offset: 0)), ("d82a4101", .malformedLink(nil, offset: 0)),
        ("d82a420001", .malformedLink(.truncated, offset: 0)),
        ("62c328", .malformedText(offset: 0)), ("61ff", .malformedText(offset: 0)),
        ("a10000", .keyNotText(offset: 1)),
        ("a2616100616100", .keyOutOfOrder(offset: 4)),
        ("a2616200616100", .keyOutOfOrder(offset: 4)),
        ("a262616100616200", .keyOutOfOrder(offset: 5)),
        ("820118", .truncated(offset: 2)), ("5bffffffffffffffff00", .truncated(offset: 0)),
        ("9bffffffffffffffff", .truncated(offset: 0)),
        ("bb7fffffffffffffff00", .truncated(offset: 0)),
    ])
    func whatIsNotCanonicalIsRefusedForItsReason(text: String, expected: CBORError) {
        #expect(throws: expected) { try CBOR(decoding: hex(text)) }
    }

    @Test func nestingHasALimit() throws {
        func nested(_ depth: Int) -> [UInt8] { Array(repeating: 0x81, count: depth) + [0] }
        #expect(try CBOR(decoding: nested(64)).encoded == nested(64))
        #expect(throws: CBORError.tooDeep(limit: 64, offset: 64)) {
            try CBOR(decoding: nested(65))
        }
    }

    @Test func unsortedKeysAreReadOnRequestButNotRepeatedOnes() throws {
        let unsorted = try CBOR(decoding: hex("a2616200616100"), acceptsAnyKeyOrder: true)
        #expect(unsorted["a"] == .unsigned(0))
        #expect(throws: CBORError.keyOutOfOrder(offset: 7)) {
            try CBOR(decoding: hex("a3616200616100616200"), acceptsAnyKeyOrder: true)
        }
    }

    @Test func textsThatOnlyLookAlikeStayDifferent() throws {
        #expect(CBOR.string("caf\u{e9}") != CBOR.string("cafe\u{301}"))
        let map = CBOR.map([
            CBOR.Entry("caf\u{e9}", .unsigned(1)), CBOR.Entry("cafe\u{301}", .unsigned(2)),
        ])
        #expect(try CBOR(decoding: map.encoded)["cafe\u{301}"] == .unsigned(2))
    }

    @Test(arguments: UInt64(1)...40)
    func randomValuesSurviveARoundTrip(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20 {
            let bytes = randomValue(&random, depth: 4).encoded
            let read = try CBOR(decoding: bytes)
            #expect(read.encoded == bytes)
        }
    }

    @Test(arguments: UInt64(1)...20)
    func whatIsReadIsWhatWouldBeWritten(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            var bytes = randomValue(&random, depth: 3).encoded
            bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                in: 0...255, using: &random)
            // Strict reading leaves one form to each value.
            if let value = try? CBOR(decoding: bytes) { #expect(value.encoded == bytes) }
        }
    }

    private func randomValue(_ random: inout SeededGenerator, depth: Int) -> CBOR {
        let number =
            UInt64.random(in: 0...UInt64.max, using: &random)
            >> UInt64.random(in: 0...63, using: &random)
        switch Int.random(in: 0..<(depth == 0 ? 8 : 10), using: &random) {
        case 0: return .unsigned(number)
        case 1: return .negative(number)
        case 2: return .bytes(random.bytes(0...30))
        case 3: return .string(hex(random.bytes(0...20)) + "\u{1f600}")
        case 4: return .cid(randomCID(&random))
        case 5: return .bool(Bool.random(using: &random))
        case 6: return .null
        case 7: return .float(Double.random(in: -1e9...1e9, using: &random))
        case 8:
            return .array(
                (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    randomValue(&random, depth: depth - 1)
                })
        default:
            let keys = Set(
                (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    hex(random.bytes(0...3))
                }
            ).sorted()
            return .map(keys.map { CBOR.Entry($0, randomValue(&random, depth: depth - 1)) })
        }
    }
}
