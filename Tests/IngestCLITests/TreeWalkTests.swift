import Foundation
import Glibc
import PosixIO
import Testing

@testable import ingest_cli

struct TreeWalkTests {
    private func walk(
        _ path: String, hidden: Bool = false, ignoring patterns: [String] = [],
        follows: Bool = false
    ) throws -> (paths: [String], omissions: WalkOmissions) {
        var rules = IgnoreRules()
        for pattern in patterns { rules.add(line: Array(pattern.utf8)) }
        let walk = TreeWalk(
            path, name: Array("top".utf8), followsArgument: follows, rules: rules,
            includesHidden: hidden, opensFiles: true)
        var paths: [String] = []
        while let entry = try walk.next() {
            paths.append("\(String(decoding: entry.path.joined, as: UTF8.self)) \(entry.kind)")
        }
        return (paths, walk.omissions)
    }

    @Test func entriesComeDepthFirstInTheOrderOfTheirBytes() throws {
        let place = try TemporaryDirectory()
        for name in ["b/2", "b/1", "B/x", "a", "é"] { try place.write(name, "") }
        let (paths, _) = try walk(place.path)
        #expect(
            paths == [
                "top directory", "top/B directory", "top/B/x file", "top/a file",
                "top/b directory", "top/b/1 file", "top/b/2 file", "top/é file",
            ])
    }

    @Test func hiddenAndIgnoredEntriesAreLeftOutWithAllBelowThem() throws {
        let place = try TemporaryDirectory()
        for name in [".git/config", "build/a.o", "a.c"] { try place.write(name, "") }
        let (paths, omissions) = try walk(place.path, ignoring: ["build/"])
        #expect(paths == ["top directory", "top/a.c file"])
        #expect(omissions.hiddenCount == 1)
        let all = try walk(place.path, hidden: true)
        #expect(all.paths.count == 6)
        #expect(all.omissions.hiddenCount == 0)
    }

    @Test func symlinksAreEntriesAndOnlyTheArgumentIsFollowed() throws {
        let place = try TemporaryDirectory()
        try place.write("d/f", "")
        for name in ["loop", "d/up"] {
            try FileManager.default.createSymbolicLink(
                atPath: place.path + "/" + name, withDestinationPath: place.path + "/d")
        }
        #expect(try walk(place.path + "/loop").paths == ["top symlink"])
        let followed = ["top directory", "top/f file", "top/up symlink"]
        #expect(try walk(place.path + "/loop/").paths == followed)
        #expect(try walk(place.path + "/loop", follows: true).paths == followed)
    }

    @Test func aFIFOIsNamedAndNotOpened() throws {
        let place = try TemporaryDirectory()
        try place.write("f", "")
        #expect(mkfifo(place.path + "/pipe", 0o600) == 0)
        let (paths, omissions) = try walk(place.path)
        #expect(paths == ["top directory", "top/f file"])
        #expect(omissions.specialPaths == [place.path + "/pipe"])
        #expect(try walk(place.path, ignoring: ["pipe"]).omissions.specialPaths.isEmpty)
        #expect(throws: CommandOutcome.self) { try walk(place.path + "/pipe") }
    }

    @Test func aFileThatHidesItsSizeIsNamed() throws {
        #expect(throws: FileOfUnknownSize.self) { try walk("/proc/cpuinfo") }
    }

    @Test func aFileThatGrowsIsNamed() throws {
        let place = try TemporaryDirectory()
        try place.write("f", "one")
        let file = try FileDescriptor(place.path + "/f", for: .update)
        let status = try file.loadStatus()
        try status.checkUnchanged(file)
        try file.writeAll(Array("longer".utf8), at: 0)
        #expect(throws: FileChanged.self) { try status.checkUnchanged(file) }
    }
}
