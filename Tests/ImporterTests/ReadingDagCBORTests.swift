import Multiformats
import Testing

@testable import Importer

@Suite struct ReadingDagCBORTests {
    private func links(_ block: [UInt8]) throws(DagCBORScanError) -> [CID] {
        try block.withUnsafeBufferPointer { (bytes) throws(DagCBORScanError) in
            try DagCBORLinkScanner.links(in: UnsafeRawBufferPointer(bytes))
        }
    }

    @Test(
        arguments: [
            [0x00], [0x18, 0xff], [0x20], [0x41, 0], [0x61, 0x61], [0x80], [0xa0], [0xf4], [0xf5],
            [0xf6], [0xfb, 0, 0, 0, 0, 0, 0, 0, 0], [0x83, 1, 0x81, 2, 0xa1, 0x60, 0x80],
            [0x1b, 0, 0, 0, 0, 0, 0, 0, 1],
        ] as [[UInt8]])
    func valuesWithoutLinksHaveNone(_ block: [UInt8]) throws {
        #expect(try links(block) == [])
    }

    @Test(
        arguments: [
            ([], .truncated), ([0x41], .truncated), ([0x18], .truncated), ([0x82, 1], .truncated),
            ([0x9b, 255, 255, 255, 255, 255, 255, 255, 255], .truncated),
            ([0xbb, 128, 0, 0, 0, 0, 0, 0, 0], .truncated), ([0xa1, 0x60], .truncated),
            ([0x5b, 255, 255, 255, 255, 255, 255, 255, 255], .truncated),
            ([0, 0], .trailingBytes), ([0x9f, 0xff], .badHead), ([0x5f, 0xff], .badHead),
            ([0x1c], .badHead), ([0xa1, 0, 0], .badKey), ([0xa1, 0x41, 0, 0], .badKey),
            ([0xc0, 0x60], .badTag), ([0xd8, 0x2a, 0x60], .badLink),
            ([0xd8, 0x2a, 0x40], .badLink),
            ([0xd8, 0x2a, 0x42, 0, 1], .badLink),
            ([0xd8, 0x2a, 0x45, 1, 1, 0x55, 0, 0], .badLink),
            ([0xd8, 0x2a, 0x46, 0, 1, 0x55, 0, 0, 0], .badLink),
            ([0xf7], .badSimple), ([0xe0], .badSimple), ([0xf8, 0x20], .badSimple),
            ([0x61, 0xff], .badText), ([0xff], .badHead),
        ] as [([UInt8], DagCBORScanError.Reason)])
    func malformedBlocksAreRefused(_ block: [UInt8], reason: DagCBORScanError.Reason) {
        let error = #expect(throws: DagCBORScanError.self) { try links(block) }
        #expect(error?.reason == reason)
    }

    @Test func nestingIsBounded() throws {
        let deep = [UInt8](repeating: 0x81, count: 1024) + [0]
        #expect(try links(deep) == [])
        let error = #expect(throws: DagCBORScanError.self) { try links([0x81] + deep) }
        #expect(error?.reason == .tooDeep)
    }

    @Test func manyNumbersAreScanned() throws {
        let count = 200_000
        let head: [UInt8] =
            [0x9a] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) }
        #expect(try links(head + [UInt8](repeating: 1, count: count)) == [])
    }
}
