import Glibc
import Testing

@testable import PosixIO

@Suite struct FileSystemTests {
    private let directory = TemporaryDirectory()

    @Test func savedFileReplacesTheOldOneAndLeavesNothingElse() throws {
        let path = directory.file("settings")
        try FileSystem.saveFile(path, [1])
        try FileSystem.saveFile(path + ".new", [9])  // as after a crash
        try FileSystem.saveFile(path, [2, 3])
        #expect(try FileSystem.loadFile(path) == [2, 3])
        #expect(try Directory(directory.path).loadNames() == [Array("settings".utf8)])
    }

    @Test func saveThatFailsKeepsTheOldFile() throws {
        let path = directory.file("settings")
        try FileSystem.makeDirectory(path)
        _ = try FileDescriptor(path + "/inside", for: .create)
        #expect(throws: IOError.self) { try FileSystem.saveFile(path, [1]) }
        #expect(try Directory(directory.path).loadNames() == [Array("settings".utf8)])
    }

    @Test func fileBeyondItsLimitIsNotLoaded() throws {
        let path = directory.file("a")
        try FileSystem.saveFile(path, [1, 2, 3])
        #expect(throws: IOError("read", path, .system(EFBIG))) {
            try FileSystem.loadFile(path, byteLimit: 2)
        }
    }

    @Test func directoriesAreMadeWithTheirParents() throws {
        let path = directory.file("a/b/c")
        try FileSystem.makeDirectory(path)
        try FileSystem.makeDirectory(path)
        #expect(try FileSystem.loadStatus(path)?.kind == .directory)
        let file = directory.file("file")
        try FileSystem.saveFile(file, [])
        #expect(throws: IOError("create directory", file, .system(EEXIST))) {
            try FileSystem.makeDirectory(file)
        }
        // A place where nobody can make one.
        #expect(throws: IOError.self) { try FileSystem.makeDirectory("/proc/none/of/these") }
    }

    @Test func removingTellsWhetherTheFileWasThere() throws {
        let path = directory.file("a")
        try FileSystem.saveFile(path, [])
        #expect(try FileSystem.removeFile(path))
        #expect(try !FileSystem.removeFile(path))
        #expect(try FileSystem.loadStatus(path) == nil)
    }

    @Test func spaceIsThatOfTheFileSystem() throws {
        let space = try FileSystem.loadSpace(directory.path)
        #expect(space.freeByteCount > 0)
        #expect(space.freeByteCount <= space.totalByteCount)
    }

    @Test func namesAreBytesInTheirOrder() throws {
        let names: [[UInt8]] = [[0xff, 0x41], Array("b".utf8), Array("é".utf8), Array(".x".utf8)]
        for name in names {
            let path = Array(directory.path.utf8) + [0x2f] + name + [0]
            let number = path.withUnsafeBytes {
                creat($0.bindMemory(to: CChar.self).baseAddress!, 0o600)
            }
            close(number)
        }
        let opened = try Directory(directory.path)
        let expected = names.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(try opened.loadNames() == expected)
        #expect(try opened.loadNames() == expected)
        #expect(try opened.loadStatus([0xff, 0x41])?.kind == .file)
        #expect(try opened.loadStatus([0xff]) == nil)
    }

    @Test func linksAreSeenAndNotFollowedUnlessAsked() throws {
        try FileSystem.saveFile(directory.file("target"), [5])
        symlink("target", directory.file("link"))
        symlink(".", directory.file("loop"))
        let opened = try Directory(directory.path)
        let link = Array("link".utf8)
        #expect(try opened.loadStatus(link)?.kind == .symbolicLink)
        #expect(try opened.loadLinkTarget(link) == Array("target".utf8))
        #expect(throws: IOError.self) { try opened.openFile(link) }
        #expect(try opened.openFile(link, followingLinks: true).readAll(count: 1, at: 0) == [5])
        #expect(throws: IOError.self) { try opened.openDirectory(Array("loop".utf8)) }
    }
}
