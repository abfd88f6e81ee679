import Multiformats
import Testing
import VectorInputs

@testable import Importer

/// The streaming builders against the plainest construction of the same tree from all leaves.
@Suite struct ImportLayoutTests {
    @Test(arguments: [2, 3, 4, 7])
    func balancedFilesAreGroupsOfGroups(width: Int) throws {
        var options = ImportVectorOptions()
        options.chunker = "size-1"
        options.maxLinks = width
        for count in Array(0...70) + [width * width * width * width, 300] {
            let (result, _) = try importing(Self.file(count), options)
            let sizes = try depths(result, width: width, leafCount: count)
            #expect(sizes.allSatisfy { $0 == sizes[0] }, "\(count) leaves")
        }
    }

    /// Metadata is only added to the root: children and sizes are those of the plain file.
    @Test(arguments: [2, 3])
    func metadataChangesNothingBelowTheRoot(width: Int) throws {
        var plain = ImportVectorOptions()
        plain.chunker = "size-1"
        plain.maxLinks = width
        var stored = plain
        stored.mode = 0o640
        for count in 2...60 {
            let bare = try importing(Self.file(count), plain, keepsContents: true).0
            let withMode = try importing(Self.file(count), stored, keepsContents: true).0
            let bareNode = try node(bare.root.cid, in: bare)
            let modeNode = try node(withMode.root.cid, in: withMode)
            #expect(modeNode.links == bareNode.links)
            #expect(modeNode.data == (bareNode.data ?? []) + [0x38, 0xa0, 0x03])
            #expect(withMode.blocks.count == bare.blocks.count)
        }
    }

    @Test func leavesOfPreservedFilesHaveNoRoomForMoreThanOneRoot() throws {
        var options = ImportVectorOptions()
        options.mode = 0o600
        options.layout = "trickle"
        let result = try importing(Self.file(1), options, keepsContents: true).0
        #expect(result.blocks.count == 2)
        let root = try node(result.root.cid, in: result)
        #expect(root.links.count == 1)
        #expect(root.data == [0x08, 0x02, 0x18, 0x01, 0x20, 0x01, 0x38, 0x80, 0x03])
    }

    @Test(arguments: CodecVector.all)
    func hamtHashesAndSlotsAreThoseOfOtherPrograms(vector: CodecVector) throws {
        guard case .hamtHash(let wanted) = vector.content else { return }
        let hash = MurmurHash3.x64Hash64(wanted.name)
        #expect(withUnsafeBytes(of: hash.bigEndian, Array.init) == wanted.hash)
        for (fanout, path) in wanted.slots {
            #expect(try slots(of: hash, fanout: fanout) == path, "fanout \(fanout)")
        }
    }

    /// The slots on the way to an entry beside another one that only the last slot tells from it.
    private func slots(of hash: UInt64, fanout: Int) throws -> [Int] {
        let bits = fanout.trailingZeroBitCount
        let neighbour = hash ^ (1 as UInt64) << UInt64(64 % bits)
        let entries = [(hash, UInt8(1)), (neighbour, 2)].sorted { $0.0 < $1.0 }
        let file = TestBlocks().exampleCID(.raw)
        var builder = HAMTBuilder(fanout: fanout)
        var emitter = try BlockEmitter(try ImportOptions(ImportVectorOptions()), sink: nil)
        for (hash, name) in entries {
            var record: [UInt8] = []
            EntryRecord.append(
                NewEntry(kind: .file, name: [name], hash: hash, cid: file, tsize: 3), to: &record)
            try record.withUnsafeBytes {
                try builder.append(EntryRecord(in: $0, at: 0), emitter: &emitter)
            }
        }
        var cid = try builder.finish(metadata: .none, emitter: &emitter).cid
        var blocks: [CID: [UInt8]] = [:]
        for case .block(let cid, let block) in emitter.takeOutput() { blocks[cid] = block }
        var found: [Int] = []
        while let block = blocks[cid] {
            let links = try block.withUnsafeBytes { try DagPBNode(decoding: $0) }.links
            let link = try #require(links.first { links.count == 1 || $0.name.last == 1 })
            let digits = String(decoding: link.name.filter { $0 != 1 }, as: UTF8.self)
            found.append(try #require(Int(digits, radix: 16)))
            cid = link.cid
        }
        #expect(cid == file)
        return found
    }

    private static func file(_ byteCount: Int) -> VectorNode {
        VectorNode(.file(.counter(byteCount: byteCount)))
    }

    private func node(_ cid: CID, in result: ImportResult) throws -> DagPBNode {
        let block = try #require(result.contents[cid])
        return try block.withUnsafeBytes { try DagPBNode(decoding: $0) }
    }

    /// How deep each leaf is, after checking that only last nodes have fewer than `width` links.
    private func depths(
        _ result: ImportResult, width: Int, leafCount: Int
    ) throws -> [Int] {
        var options = ImportVectorOptions()
        options.chunker = "size-1"
        options.maxLinks = width
        let kept = try importing(Self.file(leafCount), options, keepsContents: true).0
        #expect(kept.root == result.root)
        var found: [Int] = []
        func walk(_ cid: CID, _ depth: Int, isLast: Bool) throws {
            let links = try node(cid, in: kept).links
            if links.isEmpty {
                found.append(depth)
                return
            }
            #expect(links.count == width || isLast && links.count < width)
            for (index, link) in links.enumerated() {
                try walk(link.cid, depth + 1, isLast: isLast && index == links.count - 1)
            }
        }
        try walk(kept.root.cid, 0, isLast: true)
        #expect(found.count == max(1, leafCount))
        return found
    }
}
