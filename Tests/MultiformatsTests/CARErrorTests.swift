import Multiformats
import SeededRandom
import Testing

/// The ways a CAR can be wrong, each with its own error, place and advice.
struct CARErrorTests {
    private let leaf = Array("leaf".utf8)
    private let cid: CID
    private let header: [UInt8]
    private let archive: [UInt8]

    init() throws {
        cid = try BlockHasher(.sha2_256).cid(version: .v1, codec: .raw, leaf)
        header = CARHeader(roots: [cid]).encoded
        archive = CARWriter.archive(roots: [cid], blocks: [(cid, leaf)])
    }

    /// The error, which must be the same however the bytes are cut into pieces.
    private func error(_ bytes: [UInt8]) -> CARError? {
        guard case .failure(let whole) = outcome(bytes) else { return nil }
        for piece in [1, 7, 64] {
            #expect(outcome(bytes, pieces: [piece]) == .failure(whole))
        }
        return whole
    }

    private func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        Varint.append(value, to: &bytes)
        return bytes
    }

    @Test func nothingAtAll() {
        #expect(error([]) == .empty)
    }

    @Test func garbage() {
        let bytes = Array("this is not an archive".utf8)
        #expect(error(bytes) == .headerCut(expected: 116, found: 21))
    }

    @Test func aHeaderThatIsNotCBOR() {
        #expect(
            error(varint(20) + [UInt8](repeating: 0xff, count: 20))
                == .headerMalformed(
                    .notCBOR(.unsupportedItem(byte: 0xff, offset: 0)), offset: 0))
        #expect(
            error([0]) == .headerMalformed(.notCBOR(.truncated(offset: 0)), offset: 0))
    }

    @Test func aHeaderWithoutVersionOrRoots() {
        #expect(error([1, 0xa0]) == .headerMalformed(.noVersion, offset: 0))
        #expect(
            error(hex("0aa16776657273696f6e01")) == .headerMalformed(.noRoots, offset: 0))
    }

    @Test func aHeaderOfAGibibyte() {
        #expect(
            error(varint(1 << 30) + [0xa2])
                == .headerTooLong(byteCount: 1 << 30, limit: 1 << 20, offset: 0))
    }

    @Test func anUnknownVersion() {
        var version3 = archive
        version3[header.count - 1] = 3
        #expect(error(version3) == .unsupportedVersion(3, offset: 0))
    }

    @Test func aSectionCutInItsBlock() {
        #expect(
            error(Array(archive.dropLast(3)))
                == .sectionCut(cid, expected: 4, found: 1, offset: UInt64(header.count)))
    }

    @Test func aSectionCutInItsCID() {
        #expect(
            error(Array(archive[..<(header.count + 20)]))
                == .sectionCutInCID(offset: UInt64(header.count)))
    }

    @Test func aSectionCutInItsLength() {
        #expect(error(header + [0x80]) == .lengthCut(offset: UInt64(header.count)))
    }

    @Test func aLengthThatOverflows() {
        #expect(
            error(header + [UInt8](repeating: 0xff, count: 12))
                == .lengthMalformed(.overflow, offset: UInt64(header.count)))
    }

    @Test func aSectionOfATebibyte() {
        #expect(
            error(header + varint(1 << 40) + cid.bytes + leaf)
                == .sectionTooLong(
                    byteCount: 1 << 40, limit: 32 << 20, offset: UInt64(header.count)))
    }

    @Test func aSectionOfNoBytes() {
        #expect(error(header + [0, 0]) == .sectionEmpty(offset: UInt64(header.count)))
        #expect(error(archive + [0]) == .sectionEmpty(offset: UInt64(archive.count)))
    }

    @Test func aHashFunctionNobodyKnows() throws {
        let strange = try CID(bytes: hex("0155997f026162"))
        #expect(
            error(CARWriter.archive(roots: [cid], blocks: [(strange, leaf)]))
                == .unavailableHash(
                    HashFunction(rawValue: 0x3f99), strange, offset: UInt64(header.count)))
    }

    @Test func aSectionWithoutCID() {
        #expect(
            error(header + [3, 9, 9, 9])
                == .cidMalformed(.unsupportedVersion(9), offset: UInt64(header.count)))
        #expect(
            error(header + [4, 1, 0x55, 0x12, 0x20] + archive)
                == .cidMalformed(.truncated, offset: UInt64(header.count)))
    }

    @Test func aBlockOverTheLimitIsRefusedBeforeItsBytesCome() {
        let section = varint(UInt64(8 << 20) + UInt64(cid.byteCount)) + cid.bytes
        let expected = CARError.blockTooLarge(
            cid, byteCount: 8 << 20, limit: 2 << 20, offset: UInt64(header.count))
        #expect(error(header + section) == expected)
        (header + section).withUnsafeBytes { bytes in
            var reader = CARReader()
            #expect(throws: expected) { try reader.feed(bytes) }
        }
    }

    @Test func aV2ThatEndsBeforeItsData() {
        var frame = CARv2.Header(dataByteCount: 100)
        frame.dataOffset = 1 << 40
        frame.indexOffset = 0
        #expect(
            error(frame.encoded) == .v2DataOffsetBeyondEnd(dataOffset: 1 << 40, fileByteCount: 51))
    }

    @Test func aV2WithFaultsInItsFrame() {
        #expect(error(CARv2.pragma + [0, 0, 0]) == .v2HeaderCut(found: 14))
        #expect(error(CARv2.Header(dataByteCount: 0).encoded) == .v2Unfinished)
        var frame = CARv2.Header(dataByteCount: 100)
        frame.dataOffset = 50
        #expect(
            error(frame.encoded)
                == .v2HeaderInvalid(dataOffset: 50, dataByteCount: 100, indexOffset: 151))
        frame.dataOffset = .max
        #expect(
            error(frame.encoded)
                == .v2HeaderInvalid(dataOffset: .max, dataByteCount: 100, indexOffset: 151))
        frame = CARv2.Header(dataByteCount: UInt64(archive.count))
        frame.indexOffset = 60
        #expect(
            error(frame.encoded + archive)
                == .v2HeaderInvalid(
                    dataOffset: 51, dataByteCount: UInt64(archive.count), indexOffset: 60))
    }

    @Test func aV2WhoseDataIsCutOrGoesOn() throws {
        let longer = CARv2.Header(dataByteCount: UInt64(archive.count) + 10)
        let end = 51 + UInt64(archive.count)
        #expect(
            error(longer.encoded + archive)
                == .v2DataCut(dataEnd: end + 10, fileByteCount: end))
        #expect(
            error(longer.encoded) == .v2DataCut(dataEnd: end + 10, fileByteCount: 51))
        let shorter = CARv2.Header(dataByteCount: UInt64(archive.count) - 1)
        #expect(
            error(shorter.encoded + archive)
                == .itemBeyondData(
                    byteCount: UInt64(cid.byteCount + leaf.count), dataEnd: end - 1,
                    offset: 51 + UInt64(header.count)))
        let tiny = CARv2.Header(dataByteCount: 5)
        #expect(
            error(tiny.encoded + archive)
                == .itemBeyondData(
                    byteCount: UInt64(header.count - 1), dataEnd: 56, offset: 51))
        #expect(
            error(longer.encoded + longer.encoded) == .unsupportedVersion(2, offset: 51))
    }

    @Test func paddingBeforeAndAfterTheDataIsPassedOver() throws {
        var frame = CARv2.Header(dataByteCount: UInt64(archive.count))
        frame.dataOffset = 100
        frame.indexOffset = 0
        let padding = [UInt8](repeating: 0, count: 49)
        let bytes = frame.encoded + padding + archive + padding
        #expect(try readCAR(bytes) == readCAR(archive))
        #expect(try readCAR(bytes, pieces: [1]) == readCAR(archive))
    }

    @Test func headersOfOtherKeyOrdersAndEmptyRootsAreRead() throws {
        // {"version": 1, "roots": []}
        #expect(try headerRoots(readCAR(hex("11a26776657273696f6e0165726f6f747380"))) == [])
    }

    @Test(arguments: UInt64(1)...20)
    func damageNeverTrapsAndNeverDependsOnThePieces(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let whole = CARWriter.indexedArchive(roots: [cid], blocks: [(cid, leaf), (cid, leaf)])
        for _ in 0..<100 {
            var bytes = Bool.random(using: &random) ? whole : archive
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            #expect(outcome(bytes, pieces: [2, 5, 1]) == outcome(bytes))
        }
    }

    @Test func everySentenceSaysWhereAndWhatToDo() throws {
        let strange = try CID(bytes: hex("0155997f026162"))
        let errors: [CARError] = [
            .headerCut(expected: 116, found: 21),
            .headerTooLong(byteCount: 1 << 30, limit: 1 << 20, offset: 7001),
            .headerMalformed(.noVersion, offset: 7001), .unsupportedVersion(3, offset: 7001),
            .lengthMalformed(.overflow, offset: 7001), .lengthCut(offset: 7001),
            .sectionEmpty(offset: 7001),
            .sectionTooLong(byteCount: 1 << 40, limit: 32 << 20, offset: 7001),
            .itemBeyondData(byteCount: 10, dataEnd: 9, offset: 7001),
            .sectionCutInCID(offset: 7001),
            .sectionCut(cid, expected: 4, found: 1, offset: 7001),
            .cidMalformed(.truncated, offset: 7001),
            .unavailableHash(strange.hashFunction, strange, offset: 7001),
            .blockTooLarge(cid, byteCount: 8 << 20, limit: 2 << 20, offset: 7001),
        ]
        let advice = ["send the whole file", "check that", "write", "convert", "import"]
        for sentence in errors.map(\.description) {
            #expect(sentence.contains("byte 7001") || sentence.contains("ends after 21"))
            #expect(advice.contains { sentence.contains($0) })
        }
        #expect(
            CARError.blockTooLarge(cid, byteCount: 8 << 20, limit: 2 << 20, offset: 59).description
                == "the CAR section at byte 59 has block \(cid) of 8388608 bytes, the limit is "
                + "2097152; import the data with smaller chunks")
    }
}
