import Multiformats
import Testing

@testable import Importer

@Suite struct ReadingPathResolverTests {
    @Test func anEmptyPathIsTheRootItself() throws {
        let cid = TestBlocks().exampleCID(.dagPB)
        let resolution = try TestBlocks().resolve(cid, [])
        #expect(resolution.terminal == cid && resolution.blocksOnTheWay.isEmpty)
    }

    @Test func onlyTheDirectoriesOnTheWayAreRead() throws {
        var blocks = TestBlocks()
        let file = blocks.exampleCID(.raw)
        let inner = blocks.add(.directory([("x", file), ("y", file)]))
        let outer = blocks.add(.directory([("inner", inner), ("missing", file)]))
        let resolution = try blocks.resolve(outer, "inner/y")
        #expect(resolution.terminal == file && resolution.blocksOnTheWay == [outer, inner])
    }

    @Test func namesAreBytesNotCharacters() throws {
        var blocks = TestBlocks()
        let composed = blocks.add(.raw, [1])
        let decomposed = blocks.add(.raw, [2])
        let root = blocks.add(.directory([("e\u{301}", decomposed), ("\u{e9}", composed)]))
        #expect(try blocks.resolve(root, "\u{e9}").terminal == composed)
        #expect(try blocks.resolve(root, "e\u{301}").terminal == decomposed)
    }

    @Test func aMissingNameIsReportedWithItsDirectory() throws {
        var blocks = TestBlocks()
        let inner = blocks.add(.directory([]))
        let root = blocks.add(.directory([("a", inner)]))
        let error = #expect(throws: PathResolutionError.self) { try blocks.resolve(root, "a/b/c") }
        guard case .notFound(component: [0x62], parent: inner) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func aNameBelowAFileIsReported() throws {
        var blocks = TestBlocks()
        for file in [
            blocks.add(.raw, [1]), blocks.add(.leaf([1])), blocks.add(.dagCBOR, [0xa0]),
        ] {
            let root = blocks.add(.directory([("f", file)]))
            let error = #expect(throws: PathResolutionError.self) {
                try blocks.resolve(root, "f/x")
            }
            switch error {
            case .notADirectory(component: [0x78], parent: file): break
            default: Issue.record("\(String(describing: error))")
            }
        }
    }

    @Test func symlinksAreReportedNotFollowed() throws {
        let blocks = try TestBlocks(
            fixture: "gateway-conformance/path_gateway_unixfs__symlink.car")
        let root = blocks.roots[0]
        let link = try blocks.list(root).first { entry in
            let block = try blocks.load(entry.cid)
            return try block.withUnsafeBytes { try UnixFSNode(cid: entry.cid, block: $0) }.type
                == .symlink
        }
        guard let link else {
            Issue.record("the fixture has a symlink")
            return
        }
        #expect(try blocks.resolve(root, [link.name]).terminal == link.cid)
        let error = #expect(throws: PathResolutionError.self) {
            try blocks.resolve(root, [link.name, [0x78]])
        }
        guard case .symlinkInPath(component: [0x78], link: link.cid, target: let target) = error
        else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(target == Array("foo".utf8))
    }

    @Test func aBlockNobodyAskedForIsRefused() throws {
        var blocks = TestBlocks()
        let root = blocks.add(.directory([]))
        let other = blocks.add(.raw, [1])
        var resolver = PathResolver(root: root, path: [[0x61]])
        #expect(throws: PathResolutionError.self) {
            try [1].withUnsafeBytes { try resolver.supply($0, for: other) }
        }
        var done = PathResolver(root: root, path: [])
        #expect(throws: PathResolutionError.self) {
            try [1].withUnsafeBytes { try done.supply($0, for: root) }
        }
    }
}
