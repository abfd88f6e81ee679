import Foundation
import Importer
import Multiformats
import PosixIO
import Testing

@testable import ingest_cli

/// Directories as strangers may make them: the names in them are any bytes.
struct TreeRestorerTests {
    private struct Blocks: BlockSupply {
        var blocks: [CID: [UInt8]] = [:]

        func block(_ cid: CID) async throws -> [UInt8] {
            guard let block = cid.identityData ?? blocks[cid] else {
                throw VerificationError.wrongBytes(cid)
            }
            return block
        }

        mutating func add(_ codec: Codec, _ block: [UInt8]) throws -> CID {
            let cid = try block.withUnsafeBytes {
                try BlockHasher(.sha2_256).cid(version: .v1, codec: codec, $0)
            }
            blocks[cid] = block
            return cid
        }

        mutating func directory(_ entries: [(String, CID)]) throws -> CID {
            var node = DagPBNode(links: [], data: [0x08, 0x01])
            node.links = entries.map { DagPBLink(cid: $1, name: Array($0.utf8), tsize: 1) }
            return try add(.dagPB, node.encoded())
        }

        /// A CID that holds the block it names.
        func inlined(_ cid: CID) throws -> CID {
            let block = blocks[cid] ?? []
            return try block.withUnsafeBytes {
                try BlockHasher(.identity).cid(version: .v1, codec: cid.codec, $0)
            }
        }

        mutating func symlink(_ target: String) throws -> CID {
            let data: [UInt8] = [0x08, 0x04, 0x12, UInt8(target.utf8.count)] + Array(target.utf8)
            return try add(.dagPB, DagPBNode(links: [], data: data).encoded())
        }

        mutating func file(_ text: String) throws -> CID { try add(.raw, Array(text.utf8)) }
    }

    private func restore(_ root: CID, _ blocks: Blocks, in place: TemporaryDirectory) async throws {
        try await TreeRestorer(blocks).restore(
            root, try await blocks.block(root), as: Array("out".utf8),
            in: try Directory(place.path), isShared: true)
    }

    @Test(arguments: ["../evil", "..", ".", "", "/evil", "a/b", "a\0b"])
    func anEntryThatWouldLeaveTheTargetIsRefusedAndNothingStays(name: String) async throws {
        var blocks = Blocks()
        let root = try blocks.directory([("fine", blocks.file("x")), (name, blocks.file("evil"))])
        let place = try TemporaryDirectory()
        await #expect(throws: VerificationError.self) {
            try await restore(root, blocks, in: place)
        }
        #expect(place.names.isEmpty)
    }

    @Test func aSymlinkIsNotFollowedByALaterEntryOfItsName() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let outside = try TemporaryDirectory()
        let inner = try blocks.directory([("pwned", blocks.file("evil"))])
        let root = try blocks.directory([("x", blocks.symlink(outside.path)), ("x", inner)])
        await #expect(throws: IOError.self) { try await restore(root, blocks, in: place) }
        #expect(outside.names.isEmpty)
        #expect(place.names.isEmpty)
    }

    @Test func aSymlinkInAnExistingTargetIsNotFollowed() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let outside = try TemporaryDirectory()
        try FileManager.default.createSymbolicLink(
            atPath: place.path + "/x", withDestinationPath: outside.path)
        let inner = try blocks.directory([("pwned", blocks.file("evil"))])
        let root = try blocks.directory([("x", inner)])
        await #expect(throws: IOError.self) {
            try await TreeRestorer(blocks).restoreEntries(
                root, try await blocks.block(root), into: try Directory(place.path))
        }
        #expect(outside.names.isEmpty)
    }

    @Test func whatIsThereIsNotReplaced() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        try place.write("kept", "old")
        let root = try blocks.directory([("a", blocks.file("1")), ("kept", blocks.file("new"))])
        await #expect(throws: NameTaken.self) {
            try await TreeRestorer(blocks).restoreEntries(
                root, try await blocks.block(root), into: try Directory(place.path))
        }
        #expect(place.names == ["a", "kept"])
        #expect(place.text("kept") == "old")
    }

    @Test func aDirectoryThatIsNotCompleteHasNoNameInAnExistingTarget() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let lost = try blocks.file("lost")
        let inner = try blocks.directory([("a", blocks.file("1")), ("b", lost)])
        let root = try blocks.directory([("d", blocks.directory([("deeper", inner)]))])
        blocks.blocks[lost] = nil
        await #expect(throws: VerificationError.self) {
            try await TreeRestorer(blocks).restoreEntries(
                root, try await blocks.block(root), into: try Directory(place.path))
        }
        #expect(place.names.isEmpty)
        _ = try blocks.file("lost")
        try await TreeRestorer(blocks).restoreEntries(
            root, try await blocks.block(root), into: try Directory(place.path))
        #expect(place.names == ["d", "d/deeper", "d/deeper/a", "d/deeper/b"])
    }

    @Test func aTreeAppearsWhole() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let inner = try blocks.directory([("b", blocks.file("two"))])
        let root = try blocks.directory([
            ("a", blocks.file("one")), ("d", inner), ("l", blocks.symlink("d/b")),
        ])
        try await restore(root, blocks, in: place)
        #expect(place.names == ["out", "out/a", "out/d", "out/d/b", "out/l"])
        #expect(place.text("out/l") == "two")
    }

    @Test func anInlinedDirectoryHasAllItsEntries() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let empty = try blocks.inlined(blocks.file(""))
        let inner = try blocks.directory([("a", empty), ("b", empty)])
        let root = try blocks.directory([("d", blocks.inlined(inner)), ("e", empty)])
        try await restore(blocks.inlined(root), blocks, in: place)
        #expect(place.names == ["out", "out/d", "out/d/a", "out/d/b", "out/e"])
    }

    @Test func anInlinedFileOfSeveralBlocksIsWhole() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let chunks = try ["one", "two"].map { try blocks.file($0) }
        var node = DagPBNode(links: [], data: [0x08, 0x02, 0x18, 0x06, 0x20, 0x03, 0x20, 0x03])
        node.links = chunks.map { DagPBLink(cid: $0, name: [], tsize: 3) }
        let file = try blocks.add(.dagPB, node.encoded())
        let root = try blocks.directory([("f", blocks.inlined(file))])
        try await restore(root, blocks, in: place)
        #expect(place.text("out/f") == "onetwo")
    }

    @Test func aSymlinkTargetWithANulIsRefused() async throws {
        var blocks = Blocks()
        let root = try blocks.directory([("l", blocks.symlink("a\0b"))])
        let place = try TemporaryDirectory()
        await #expect(throws: IOError.self) { try await restore(root, blocks, in: place) }
        #expect(place.names.isEmpty)
    }

    @Test func aMissingBlockLeavesNothingBehind() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        let missing = try blocks.file("missing")
        let root = try blocks.directory([("a", blocks.file("one")), ("b", missing)])
        blocks.blocks[missing] = nil
        await #expect(throws: VerificationError.self) {
            try await restore(root, blocks, in: place)
        }
        #expect(place.names.isEmpty)
    }

    @Test func storedModesAreTakenWithoutTheirSpecialBits() async throws {
        var blocks = Blocks()
        let place = try TemporaryDirectory()
        // Type file, Data "x", size 1, mode 06755, mtime 1.
        let data: [UInt8] = [8, 2, 18, 1, 120, 24, 1, 56, 0xED, 0x1B, 66, 2, 8, 1]
        let root = try blocks.add(.dagPB, DagPBNode(links: [], data: data).encoded())
        try await restore(root, blocks, in: place)
        let status = try #require(try FileSystem.loadStatus(place.path + "/out"))
        #expect(status.permissions == 0o755)
        #expect(status.modifiedSeconds == 1)
    }
}
