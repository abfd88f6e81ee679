import Importer
import Multiformats
import Testing

/// Entries that cannot both be in one tree, in every order they can arrive.
@Suite struct ImportConflictTests {
    enum Step: Sendable {
        case file(String)
        case directory(String)
        case symlink(String)
    }

    static let conflicts: [(steps: [Step], says: String)] = [
        ([.directory("d"), .file("d/f"), .file("d/f")], "“d/f” is already a file"),
        ([.file("d/a/f"), .file("d/b/f"), .file("d/a/f")], "“d/a/f” is already a file"),
        ([.file("d/x"), .directory("d/x")], "“d/x” is already a file"),
        ([.directory("d/x"), .file("d/x")], "“d/x” is already a directory"),
        ([.file("d/x/y"), .file("d/x")], "“d/x” is already a directory"),
        ([.file("d/x/y"), .file("d/z"), .symlink("d/x")], "“d/x” is already a directory"),
        ([.file("d/x"), .file("d/x/y")], "“d/x” is already a file"),
        ([.symlink("d/l"), .file("d/l/passwd")], "“d/l” is already a symlink"),
        ([.symlink("d/l"), .symlink("d/l")], "“d/l” is already a symlink"),
        ([.symlink("d/l"), .directory("d/l")], "“d/l” is already a symlink"),
        ([.file("f"), .file("f")], "“f” is already a file"),
        ([.file("f"), .directory("f")], "“f” is already a file"),
        ([.file(""), .file("")], "the root is already a file"),
        ([.directory(""), .file("")], "the root is already a directory"),
        ([.file(""), .directory("")], "the root is already a file"),
    ]

    @Test(arguments: conflicts.indices, [false, true])
    func conflictsAreErrors(index: Int, spills: Bool) throws {
        let (steps, says) = Self.conflicts[index]
        var driver = try ImportDriver(
            ImportOptions(profile: .unixfsV0_2015), limits: spills ? .tiny : DirectoryLimits())
        expectError(says) {
            for step in steps { try driver.add(step) }
            _ = try driver.finish()
        }
    }

    @Test(arguments: [
        [Step.file("a"), .file("b")], [.directory("a"), .file("b")], [.file("a/x"), .file("b/x")],
        [.symlink("a"), .directory("b")],
    ])
    func severalEntriesAtTheTopNeedAWrapper(steps: [Step]) throws {
        var driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015))
        expectError("both “a” and “b” are at its top; add wrap-with-directory=true") {
            for step in steps { try driver.add(step) }
            _ = try driver.finish()
        }
        var overrides = ImportOptions.Overrides()
        overrides.wrap = true
        driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015, overrides: overrides))
        for step in steps { try driver.add(step) }
        #expect(try driver.finish().root.path.isEmpty)
    }

    @Test func nothingAtAllIsAnErrorUnlessWrapped() throws {
        var driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015))
        expectError("neither a file nor a directory") { _ = try driver.finish() }
        var overrides = ImportOptions.Overrides()
        overrides.wrap = true
        driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015, overrides: overrides))
        let root = try driver.finish().root
        #expect("\(root.cid)" == "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
    }

    @Test func aDirectorySentTwiceKeepsTheLaterMetadata() throws {
        var overrides = ImportOptions.Overrides()
        overrides.preserveMode = true
        let options = try ImportOptions(profile: .unixfsV0_2015, overrides: overrides)
        func root(_ modes: [UInt32?]) throws -> CID {
            var driver = try ImportDriver(options)
            for mode in modes {
                try driver.addDirectory("d/e", EntryMetadata(mode: mode))
                try driver.addDirectory("d/other")
            }
            return try driver.finish().root.cid
        }
        #expect(try root([0o700, 0o755]) == root([0o755]))
        #expect(try root([0o755, nil]) == root([0o755]))
        #expect(try root([0o700]) != root([0o755]))
    }

    @Test func aTargetBeyondTheLimitIsRefused() throws {
        var driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015))
        expectError("has 65537 bytes, at most 65536") {
            try driver.addSymlink("l", target: String(repeating: "x", count: 65537))
        }
    }

    @Test func namelessEntriesAreTheRootOrNamedByTheirCID() throws {
        var driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015))
        try driver.addFile("", "hello world")
        let bare = try driver.finish().root
        #expect("\(bare.cid)" == "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD")
        #expect(bare.path.isEmpty)

        var overrides = ImportOptions.Overrides()
        overrides.wrap = true
        driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015, overrides: overrides))
        try driver.addFile("", "hello world")
        let wrapped = try driver.finish()
        #expect(wrapped.entries.map(\.path) == [Array("\(bare.cid)".utf8), []])
    }

    @Test func aDirectoryWithoutANameIsTheRoot() throws {
        func root(_ prefix: String) throws -> CID {
            var driver = try ImportDriver(ImportOptions(profile: .unixfsV0_2015))
            try driver.addDirectory(prefix)
            try driver.addFile(prefix + "/a", "1")
            try driver.addFile(prefix + "/b/c", "2")
            return try driver.finish().root.cid
        }
        #expect(try root("") == root("top"))
    }
}

extension ImportDriver {
    mutating func add(_ step: ImportConflictTests.Step) throws {
        switch step {
        case .file(let path): try addFile(path)
        case .directory(let path): try addDirectory(path)
        case .symlink(let path): try addSymlink(path, target: "t")
        }
    }
}

extension DirectoryLimits {
    /// Spills after every other entry.
    static let tiny: DirectoryLimits = {
        var limits = DirectoryLimits()
        limits.entryCount = 1
        limits.byteCount = 200
        limits.totalByteCount = 500
        limits.spilledPortionByteCount = 100
        limits.spilledNameCount = 16
        limits.sorterByteCount = 64 << 10
        return limits
    }()

    /// Spills larger directories, and has room to park a few.
    static let small: DirectoryLimits = {
        var limits = DirectoryLimits.tiny
        limits.entryCount = 8
        limits.byteCount = 2000
        limits.totalByteCount = 8000
        limits.spilledPortionByteCount = 1000
        limits.spilledNameCount = 256
        limits.sorterByteCount = 16 << 10
        return limits
    }()
}
