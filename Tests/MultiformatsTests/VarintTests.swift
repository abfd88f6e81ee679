import Multiformats
import Testing

struct VarintTests {
    private func decode(_ bytes: [UInt8], minimal: Bool = false) throws -> (UInt64, Int) {
        try bytes.withUnsafeBytes {
            var offset = 0
            let value =
                minimal
                ? try Varint.decodeMinimal($0, at: &offset) : try Varint.decode($0, at: &offset)
            return (value, offset)
        }
    }

    @Test(arguments: 0..<64)
    func everyBitLengthSurvivesARoundTrip(bit: Int) throws {
        for value in [
            UInt64(1) << UInt64(bit), (UInt64(1) << UInt64(bit)) - 1, UInt64.max >> UInt64(bit),
        ] {
            var bytes: [UInt8] = []
            Varint.append(value, to: &bytes)
            #expect(bytes.count == Varint.byteCount(value))
            #expect(try decode(bytes, minimal: true) == (value, bytes.count))
            let written = [UInt8](unsafeUninitializedCapacity: 10) { buffer, count in
                count = Varint.write(value, to: UnsafeMutableRawBufferPointer(buffer))
            }
            #expect(written == bytes)
        }
    }

    @Test func multicodecExamplesHaveTheirPublishedBytes() throws {
        #expect(try decode([0xa0, 0xe4, 0x02]) == (0xb220, 3))
        #expect(try decode([0x81, 0x08]) == (0x0401, 2))
        #expect(try decode([0x80, 0x01, 0xff]) == (128, 2))
    }

    @Test func faultsAreToldApart() {
        #expect(throws: VarintError.truncated) { try decode([]) }
        #expect(throws: VarintError.truncated) { try decode([0x80, 0x80]) }
        #expect(throws: VarintError.overflow) { try decode(Array(repeating: 0xff, count: 12)) }
        #expect(throws: VarintError.overflow) {
            try decode(Array(repeating: 0x80, count: 9) + [0x02])
        }
        #expect(throws: VarintError.notMinimal) { try decode([0x81, 0x00], minimal: true) }
    }

    @Test func paddedNumbersAreReadWhereProtocolBuffersAllowThem() throws {
        #expect(try decode([0x81, 0x00]) == (1, 2))
    }

    @Test func aFailedReadLeavesTheOffset() {
        let bytes: [UInt8] = [7, 0x80]
        bytes.withUnsafeBytes { buffer in
            var offset = 1
            #expect(throws: VarintError.truncated) { try Varint.decode(buffer, at: &offset) }
            #expect(offset == 1)
        }
    }
}
