import Multiformats
import SeededRandom
import Testing

struct DagPBTests {
    @Test(
        arguments: CodecVector.inCategory("dag-pb-decode") + CodecVector.inCategory("dag-pb-strict")
    )
    func blocksAreReadAndRewrittenAsByGoCodecDagPB(vector: CodecVector) throws {
        let block = hex(try #require(vector.hex))
        guard vector.expect.valid == true else {
            #expect(throws: DagPBError.self) { try DagPBNode(decoding: block) }
            return
        }
        let node = try DagPBNode(decoding: block)
        #expect(hex(node.encoded()) == vector.expect.reencodedHex)
        if let cid = vector.expect.cid {
            let made = try BlockHasher(.sha2_256).cid(version: .v1, codec: .dagPB, block)
            #expect(made.description == cid)
        }
    }

    @Test func fixtureFilesAreTheBlocksOfTheVectors() throws {
        let vectors = CodecVector.inCategory("dag-pb-decode")
        for vector in vectors {
            let file = try VectorFiles.bytes("dag-pb/\(vector.name).dag-pb")
            #expect(hex(file) == vector.hex)
        }
    }

    @Test func aDirectoryLinkHasItsKnownBytes() throws {
        // go-car's simple directory block, as printed in the CARv1 vector dir-unicode.
        let cid = try CID("bafkreig7onj54hcfj3r44rxn4h3bucujv23dcd3ictrslmgpp3c37lnnqa")
        var bytes: [UInt8] = []
        DagPB.appendLink(cid, name: Array("cafe\u{301}".utf8), tsize: 3, to: &bytes)
        #expect(
            hex(bytes)
                == "12300a2401551220df7353de1c454ee3ce46ede1f61a0a89aeb6310f6814e325b0cf7ec5bfadad80"
                + "120663616665cc811803")
        DagPB.appendData([8, 1], to: &bytes)
        #expect(hex(bytes.suffix(4)) == "0a020801")
    }

    @Test(arguments: UInt64(1)...30)
    func randomNodesSurviveARoundTrip(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let node = randomNode(&random)
        let block = node.encoded()
        let read = try DagPBNode(decoding: block)
        #expect(read.encoded() == block)
        #expect(read.data == node.data)
        #expect(read.links.count == node.links.count)
        // Sorted by name, and equal names in their first order.
        for (left, right) in zip(read.links, read.links.dropFirst()) {
            #expect(!right.name.lexicographicallyPrecedes(left.name))
        }
        for name in Set(node.links.map(\.name)) {
            #expect(read.links.filter { $0.name == name } == node.links.filter { $0.name == name })
        }
    }

    @Test(arguments: UInt64(1)...30)
    func piecewiseEncodingAndItsLengthsAgreeWithTheNode(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let node = try DagPBNode(decoding: randomNode(&random).encoded())
        var bytes: [UInt8] = []
        for link in node.links {
            let before = bytes.count
            DagPB.appendLink(link.cid, name: link.name, tsize: link.tsize, to: &bytes)
            let predicted = DagPB.linkByteCount(
                cidByteCount: link.cid.byteCount, nameByteCount: link.name.count, tsize: link.tsize)
            #expect(bytes.count - before == predicted)
        }
        if let data = node.data {
            let before = bytes.count
            DagPB.appendData(data, to: &bytes)
            #expect(bytes.count - before == DagPB.dataByteCount(data.count))
        }
        #expect(bytes == node.encoded())
    }

    @Test(arguments: UInt64(1)...30)
    func everyCutOfABlockIsRefusedOrReadAsAShorterBlock(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let block = randomNode(&random).encoded()
        for count in 0..<block.count {
            let cut = Array(block[..<count])
            // A cut between two fields is a block of its own.
            if let node = try? DagPBNode(decoding: cut) { #expect(node.encoded() == cut) }
        }
    }

    @Test(arguments: UInt64(1)...30)
    func noiseNeverTraps(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<60 {
            var bytes = randomNode(&random).encoded() + random.bytes(0...8)
            if !bytes.isEmpty {
                for _ in 0..<3 {
                    bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                        in: 0...255, using: &random)
                }
            }
            _ = try? DagPBNode(decoding: bytes)  // only that it returns
        }
    }

    @Test func everyFaultIsToldWithItsPlace() {
        func error(_ text: String) -> DagPBError? {
            #expect(throws: DagPBError.self) { try DagPBNode(decoding: hex(text)) }
        }
        #expect(error("0805") == .unexpectedField(number: 1, wireType: 0, offset: 0))
        #expect(error("0a0278790a027879") == .misplacedField("Data", offset: 4))
        #expect(error("1200") == .missingHash(offset: 0))
        #expect(error("0a0278") == .truncated(offset: 0))
        #expect(error("12070a020155120161") == .malformedCID(.truncated, offset: 2))
        #expect(error("0affffffffffffffffff7f") == .malformedVarint(offset: 1))
        #expect(
            error("120b0a090155000500010203040a00120b0a09015500050001020304")
                == .misplacedField("Links", offset: 15))
        #expect(
            DagPBError.missingHash(offset: 7).description
                == "not a valid dag-pb block: the link at byte 7 has no hash; "
                + "make the block again from its source")
    }

    private func randomNode(_ random: inout SeededGenerator) -> DagPBNode {
        let names = (0..<4).map { _ in random.bytes(0...5) }
        let links = (0..<Int.random(in: 0...12, using: &random)).map { _ in
            DagPBLink(
                cid: randomCID(&random), name: names.randomElement(using: &random) ?? [],
                tsize: UInt64.random(in: 0...UInt64.max, using: &random)
                    >> UInt64.random(in: 0...63, using: &random))
        }
        return DagPBNode(
            links: links, data: Bool.random(using: &random) ? random.bytes(0...20) : nil)
    }
}
