import Multiformats
import Testing

@testable import Importer

private let dagPB = TestBlocks().exampleCID(.dagPB)

extension TestBlocks {
    func exampleCID(_ codec: Codec) -> CID {
        var copy = self
        return copy.add(codec, [1, 2, 3])
    }
}

private func decode(_ block: [UInt8], _ cid: CID = dagPB) throws(UnixFSNodeError) -> UnixFSNode {
    try block.withUnsafeBufferPointer { (bytes) throws(UnixFSNodeError) in
        try UnixFSNode(cid: cid, block: UnsafeRawBufferPointer(bytes))
    }
}

@Suite struct ReadingUnixFSNodeTests {
    @Test func publishedExamplesAreRead() throws {
        let directory = try decode([0x0a, 2, 8, 1])
        #expect(directory.type == .directory && directory.isDirectory && directory.links.isEmpty)

        let empty = try decode([0x0a, 4, 8, 2, 0x18, 0])
        #expect(empty.isFile && empty.fileByteCount == 0 && empty.payload.isEmpty)

        let text = Array("hello world".utf8)
        let hello = [0x0a, 0x11, 8, 2, 0x12, 0x0b] + text + [0x18, 0x0b]
        let file = try decode(hello)
        #expect(file.fileByteCount == 11 && Array(hello[file.payload]) == text)

        let symlink = try decode([0x0a, 5, 8, 4, 0x12, 1, 0x74])
        #expect(symlink.type == .symlink && symlink.payload == 6..<7 && symlink.fileByteCount == 1)
    }

    @Test func aRawBlockIsALeafOfAllItsBytes() throws {
        let node = try decode([9, 9, 9], TestBlocks().exampleCID(.raw))
        #expect(node.isFile && node.fileByteCount == 3 && node.payload == 0..<3)
    }

    @Test func modeAndTimeAreRead() throws {
        // mode 0755, mtime -5 s 7 ns
        let seconds: [UInt8] = [0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]
        let message: [UInt8] =
            [8, 1, 0x38, 0xed, 3, 0x42, 16, 8] + seconds + [0x15, 7, 0, 0, 0]
        let node = try decode([0x0a, UInt8(message.count)] + message)
        #expect(node.mode == 0o755)
        #expect(node.mtime == UnixFSTime(seconds: -5, nanoseconds: 7))
    }

    /// Protobuf readers must take packed numbers and skip what they do not know.
    @Test func packedSizesAndUnknownFieldsAreAccepted() throws {
        var node = TestNode.file([(dagPB, 5), (dagPB, 300)])
        node.blockSizes = []
        let packed: [UInt8] = [0x22, 3, 5, 0xac, 2]
        let unknown: [UInt8] = [0x78, 1, 0x7a, 2, 0, 0, 0x7d, 1, 2, 3, 4]
        let message = node.message + packed + unknown
        var block: [UInt8] = []
        for link in node.links { DagPB.appendLink(link.cid, name: [], tsize: 0, to: &block) }
        DagPB.appendData(message, to: &block)
        #expect(try decode(block).blockByteCounts == [5, 300])
    }

    @Test func dataBeforeTheLinksIsFound() throws {
        let node = TestNode.file([(dagPB, 5)], data: [7, 8, 9])
        var block: [UInt8] = []
        DagPB.appendData(node.message, to: &block)
        DagPB.appendLink(dagPB, name: [], tsize: 0, to: &block)
        let decoded = try decode(block)
        #expect(decoded.links.count == 1 && Array(block[decoded.payload]) == [7, 8, 9])
    }

    /// The tag of Data, 0x0a, in two bytes: Protocol Buffers allow that, and so does Kubo.
    @Test func dataWithAPaddedTagIsFound() throws {
        let message = TestNode.file([(dagPB, 5)], data: [7, 8, 9]).message
        var links: [UInt8] = []
        DagPB.appendLink(dagPB, name: [], tsize: 0, to: &links)
        let data = [0x8a, 0, UInt8(message.count)] + message
        for block in [data + links, links + data] {
            let decoded = try decode(block)
            #expect(decoded.links.count == 1 && Array(block[decoded.payload]) == [7, 8, 9])
        }
    }

    struct Malformed: CustomStringConvertible, Sendable {
        let description: String
        let message: [UInt8]
        let error: UnixFSNodeError
    }

    static let malformed: [Malformed] = [
        .init(description: "nothing", message: [], error: .missingType),
        .init(description: "no type", message: [0x18, 0], error: .missingType),
        .init(description: "type 6", message: [8, 6], error: .unknownType(6)),
        .init(description: "two types", message: [8, 2, 8, 2], error: .repeatedField(1)),
        .init(
            description: "two sizes", message: [8, 2, 0x18, 0, 0x18, 0], error: .repeatedField(3)),
        .init(
            description: "two data", message: [8, 2, 0x12, 0, 0x12, 0], error: .repeatedField(2)),
        .init(
            description: "type as bytes", message: [0x0a, 1, 2], error: .wrongWireType(field: 1)),
        .init(
            description: "data as number", message: [8, 2, 0x10, 1], error: .wrongWireType(field: 2)
        ),
        .init(description: "group", message: [8, 2, 0x7b], error: .wrongWireType(field: 15)),
        .init(description: "field 0", message: [8, 2, 0], error: .wrongWireType(field: 0)),
        .init(description: "cut data", message: [8, 2, 0x12, 5, 1], error: .truncated),
        .init(
            description: "data of 2^64-1 bytes",
            message: [8, 2, 0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            error: .truncated),
        .init(description: "cut number", message: [8, 2, 0x18, 0x80], error: .truncated),
        .init(
            description: "number above 64 bits",
            message: [8, 2, 0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            error: .truncated),
        .init(
            description: "size without bytes", message: [8, 2, 0x18, 9],
            error: .fileSizeMismatch(claimed: 9, sum: 0)),
        .init(
            description: "size of 2^63",
            message: [8, 2, 0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
            error: .fileSizeMismatch(claimed: 1 << 63, sum: 0)),
        .init(
            description: "block size without link", message: [8, 2, 0x18, 1, 0x20, 1],
            error: .linkCountMismatch(links: 0, blockSizes: 1)),
        .init(
            description: "mode of 33 bits", message: [8, 1, 0x38, 0x80, 0x80, 0x80, 0x80, 0x10],
            error: .valueOutOfRange(7)),
        .init(
            description: "time without seconds", message: [8, 1, 0x42, 5, 0x15, 1, 0, 0, 0],
            error: .valueOutOfRange(8)),
        .init(
            description: "10^9 nanoseconds",
            message: [8, 1, 0x42, 7, 8, 0, 0x15, 0x00, 0xca, 0x9a, 0x3b],
            error: .valueOutOfRange(8)),
        .init(
            description: "shard without hash function", message: [8, 5, 0x30, 0x80, 2],
            error: .badHashFunction(0)),
        .init(
            description: "shard with SHA-256", message: [8, 5, 0x28, 0x12, 0x30, 0x80, 2],
            error: .badHashFunction(0x12)),
        .init(description: "no fanout", message: [8, 5, 0x28, 0x22], error: .badFanout(0)),
        .init(description: "fanout 4", message: [8, 5, 0x28, 0x22, 0x30, 4], error: .badFanout(4)),
        .init(
            description: "fanout 24", message: [8, 5, 0x28, 0x22, 0x30, 24], error: .badFanout(24)),
        .init(
            description: "fanout 2048", message: [8, 5, 0x28, 0x22, 0x30, 0x80, 0x10],
            error: .badFanout(2048)),
    ]

    @Test(arguments: malformed)
    func malformedMessagesAreRefused(_ example: Malformed) {
        var block: [UInt8] = []
        DagPB.appendData(example.message, to: &block)
        #expect(throws: example.error) { try decode(block) }
        #expect(!example.error.description.isEmpty)
    }

    @Test func sizesThatDoNotMatchTheLinksAreRefused() {
        var node = TestNode.file([(dagPB, 5), (dagPB, 6)])
        node.blockSizes = [5]
        #expect(throws: UnixFSNodeError.linkCountMismatch(links: 2, blockSizes: 1)) {
            try decode(node.encoded)
        }
        node.blockSizes = [5, 7]
        #expect(throws: UnixFSNodeError.fileSizeMismatch(claimed: 11, sum: 12)) {
            try decode(node.encoded)
        }
        node.blockSizes = [1 << 62, 1 << 62]
        #expect(throws: UnixFSNodeError.fileTooLong) { try decode(node.encoded) }
        node.blockSizes = [1 << 63, 1 << 63]
        #expect(throws: UnixFSNodeError.fileTooLong) { try decode(node.encoded) }
    }

    @Test func otherCodecsAndEmptyNodesAreNoUnixFS() {
        #expect(throws: UnixFSNodeError.codecNotUnixFS(0x71)) {
            try decode([0xa0], TestBlocks().exampleCID(.dagCBOR))
        }
        #expect(throws: UnixFSNodeError.noData) { try decode([]) }
        #expect(throws: UnixFSNodeError.missingType) { try decode([0x0a, 0]) }
        #expect(throws: UnixFSNodeError.self) { try decode([0xff, 0xff]) }
    }

    @Test func onlyLeavesHaveAPayloadRange() throws {
        let inner = TestNode.file([(dagPB, 5)]).encoded
        #expect(throws: UnixFSNodeError.notALeaf(links: 1)) {
            try inner.withUnsafeBytes { try UnixFSLeaf.payloadRange(of: $0, cid: dagPB) }
        }
        let leaf = TestNode.leaf([4, 5, 6], type: 0).encoded
        let range = try leaf.withUnsafeBytes { try UnixFSLeaf.payloadRange(of: $0, cid: dagPB) }
        #expect(Array(leaf[range]) == [4, 5, 6])
    }
}
