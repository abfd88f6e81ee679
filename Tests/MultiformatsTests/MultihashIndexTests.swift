import Multiformats
import SeededRandom
import Testing

struct MultihashIndexTests {
    /// Reads from memory and counts the reads.
    private final class Source {
        let bytes: [UInt8]
        var readCount = 0

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        func read(_ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws {
            readCount += 1
            bytes.withUnsafeBytes {
                let start = Int(offset)
                buffer.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
            }
        }

        func open() throws -> MultihashIndex {
            try MultihashIndex(byteCount: UInt64(bytes.count), read: read)
        }
    }

    @Test(arguments: UInt64(1)...10)
    func everyBlockIsFoundAndNoOther(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var builder = MultihashIndexBuilder()
        var offsets: [CID: UInt64] = [:]
        for offset in 0..<Int.random(in: 0...700, using: &random) {
            let cid = randomCID(&random).asV1
            if !cid.isIdentity, offsets[cid] == nil { offsets[cid] = UInt64(offset * 100) }
            builder.add(cid, offset: UInt64(offset * 100))
        }
        let source = Source(builder.encoded())
        let index = try source.open()
        #expect(index.count == UInt64(builder.count))
        for (cid, offset) in offsets {
            #expect(try index.sectionOffset(of: cid, read: source.read) == offset)
        }
        for _ in 0..<100 {
            let stranger = randomCID(&random)
            #expect(try index.sectionOffset(of: stranger, read: source.read) == nil)
        }
    }

    @Test func versionsAndCodecsOfAMultihashShareItsEntry() throws {
        let v0 = try CID("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        var builder = MultihashIndexBuilder()
        builder.add(v0, offset: 59)
        let source = Source(builder.encoded())
        #expect(try source.open().sectionOffset(of: v0.asV1, read: source.read) == 59)
    }

    @Test func rowsComeBackSortedByDigest() throws {
        var random = SeededGenerator(seed: 4)
        var builder = MultihashIndexBuilder()
        for offset in 0..<3000 { builder.add(randomCID(&random), offset: UInt64(offset)) }
        let source = Source(builder.encoded())
        var rows: [String: [[UInt8]]] = [:]
        var count = 0
        try source.open().forEachRow(read: source.read) { function, digest, _ in
            rows["\(function) \(digest.count)", default: []].append(Array(digest))
            count += 1
        }
        #expect(count == builder.count)
        for digests in rows.values {
            for (left, right) in zip(digests, digests.dropFirst()) {
                #expect(!right.lexicographicallyPrecedes(left))
            }
        }
    }

    @Test func evenDigestsAreMostlyFoundAtTheFirstRead() throws {
        var random = SeededGenerator(seed: 5)
        var builder = MultihashIndexBuilder()
        let cids = (0..<20_000).map { _ in
            random.bytes(32...32).withUnsafeBytes {
                CID(version: .v1, codec: .raw, hashFunction: .sha2_256, digest: $0)
            }
        }
        for cid in cids { builder.add(cid, offset: 1) }
        let source = Source(builder.encoded())
        let index = try source.open()
        source.readCount = 0
        for cid in cids.prefix(1000) { _ = try index.sectionOffset(of: cid, read: source.read) }
        #expect(source.readCount < 2500)
    }

    @Test func lopsidedDigestsStillTakeFewReads() throws {
        // All digests share their first bytes, but for two at the ends.
        var builder = MultihashIndexBuilder()
        func cid(_ first: UInt8, _ number: Int) -> CID {
            var digest = [UInt8](repeating: first, count: 32)
            withUnsafeBytes(of: UInt32(number).bigEndian) {
                digest.replaceSubrange(8..<12, with: $0)
            }
            return digest.withUnsafeBytes {
                CID(version: .v1, codec: .raw, hashFunction: .sha2_256, digest: $0)
            }
        }
        builder.add(cid(0, 0), offset: 1)
        builder.add(cid(255, 0), offset: 1)
        for number in 0..<50_000 { builder.add(cid(7, number), offset: UInt64(number)) }
        let source = Source(builder.encoded())
        let index = try source.open()
        for number in stride(from: 0, to: 50_000, by: 777) {
            source.readCount = 0
            #expect(
                try index.sectionOffset(of: cid(7, number), read: source.read) == UInt64(number))
            #expect(source.readCount <= 24)
        }
    }

    @Test func damagedIndexesAreRefused() throws {
        var builder = MultihashIndexBuilder()
        let cid = try CID("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        builder.add(cid, offset: 59)
        let bytes = builder.encoded()
        #expect(throws: MultihashIndexError.unsupportedCodec(0x0400)) {
            try Source([0x80, 0x08] + bytes[2...]).open()
        }
        for count in 0..<bytes.count {
            #expect(throws: MultihashIndexError.self) { try Source(Array(bytes[..<count])).open() }
        }
        for (position, value) in [(2, 9), (14, 9), (18, 0), (18, 39), (22, 41), (29, 0x7f)] {
            var damaged = bytes
            damaged[position] = UInt8(value)
            #expect(throws: MultihashIndexError.self, "byte \(position)") {
                try Source(damaged).open()
            }
        }
    }

    @Test func anIndexOfTheOldDraftIsRefusedByName() throws {
        let bytes = try VectorFiles.bytes("car/carv2-basic.car")
        #expect(throws: MultihashIndexError.unsupportedCodec(1)) {
            try Source(Array(bytes[499...])).open()
        }
    }

    @Test func readFaultsReachTheCaller() throws {
        struct Fault: Error {}
        var builder = MultihashIndexBuilder()
        let cid = try CID("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        builder.add(cid, offset: 59)
        let index = try Source(builder.encoded()).open()
        #expect(throws: Fault.self) {
            try index.sectionOffset(of: cid) { _, _ in throw Fault() }
        }
    }
}
