import Testing

@testable import IngestAPI

struct UploadFieldsTests {
    @Test(
        arguments: [
            ("0", 0), (" 12 ", 12), ("7;note=x", 7), ("9223372036854775807", Int.max),
            ("9223372036854775808", nil), ("-1", nil), ("+1", nil), ("1 2", nil), ("", nil),
            ("0x1", nil),
        ] as [(String, Int?)])
    func aNumberOfBytesIsDigits(text: String, expected: Int?) {
        #expect(UploadFields.byteCount(text) == expected)
    }

    @Test(
        arguments: [("?1", true), ("?1;a", true), ("?0", false), ("1", false), ("?1?1", false)])
    func onlyQuestionMarkOneIsTrue(text: String, expected: Bool) {
        #expect(UploadFields.isTrue(text) == expected)
    }

    @Test func metadataAreKeysWithValuesInBase64OrNoneOrNothingAtAll() {
        #expect(
            UploadFields.metadata("filename YQ==,is_confidential") == [
                "filename": [0x61], "is_confidential": [],
            ])
        #expect(UploadFields.metadata("") == [:])
        for malformed in [",", "a YQ==,", "a *", "a YQ== YQ==", "a YQ==,a YQ=="] {
            #expect(UploadFields.metadata(malformed) == nil, "\(malformed)")
        }
    }

    // Found by fuzzing: as a character, the comma and the mark behind it are one that is no comma.
    @Test func aKeyThatBeginsWithACombiningMarkIsOneOfSeveralAllTheSame() {
        #expect(UploadFields.metadata("a YQ==,\u{317}b Yg==") == ["a": [0x61], "\u{317}b": [0x62]])
    }
}
