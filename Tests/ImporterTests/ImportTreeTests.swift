import Multiformats
import SeededRandom
import Spill
import Testing
import VectorInputs

@testable import Importer

/// Laws about trees: the order of arrival and the memory limits never change a root.
@Suite struct ImportTreeTests {
    static let options: [ImportVectorOptions] = {
        var sharded = ImportVectorOptions()
        sharded.hamtThreshold = 300
        sharded.hamtFanout = 8
        var byBlock = ImportVectorOptions()
        byBlock.profile = "unixfs-v1-2025"
        byBlock.hamtThreshold = 700
        byBlock.preserveMode = true
        var inlined = ImportVectorOptions()
        inlined.inline = true
        inlined.inlineLimit = 100
        inlined.hamtThreshold = 400
        inlined.noEmptyDirectories = true
        return [ImportVectorOptions(), sharded, byBlock, inlined]
    }()

    @Test(arguments: 0..<5 as Range<UInt64>, options.indices)
    func theOrderOfEntriesNeverChangesTheRoot(seed: UInt64, optionIndex: Int) throws {
        let options = Self.options[optionIndex]
        let tree = RandomTree(seed: seed)
        let inOrder = try tree.result(of: tree.entries, options)
        var random = SeededGenerator(seed: seed + 1000)
        for limits in [DirectoryLimits(), .small] {
            // Directories come first: shuffled, a part without children would be seen as empty.
            let shuffled = tree.directories + tree.files.shuffled(using: &random)
            let result = try tree.result(of: shuffled, options, limits: limits)
            #expect(result.root == inOrder.root)
            #expect(result.cidsByPath == inOrder.cidsByPath)
            // Superseded directory blocks may be there too.
            let emitted = Set(result.blocks.map(\.cid))
            #expect(Set(inOrder.blocks.map(\.cid)).isSubset(of: emitted))
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>, options.indices)
    func spillingNeverChangesABlock(seed: UInt64, optionIndex: Int) throws {
        let options = Self.options[optionIndex]
        let tree = RandomTree(seed: seed)
        let inMemory = try tree.result(of: tree.entries, options)
        let spilled = try tree.result(of: tree.entries, options, limits: .tiny)
        #expect(spilled.root == inMemory.root)
        #expect(spilled.entries == inMemory.entries)
        #expect(spilled.blocks.map(\.cid) == inMemory.blocks.map(\.cid))
        #expect(spilled.contents == inMemory.contents)
    }

    /// The hashes of 3,000 names take several segments, sorted runs and levels of shards.
    @Test func aLargeSpilledDirectoryIsTheSameHAMT() throws {
        var limits = DirectoryLimits()
        limits.entryCount = 100
        limits.byteCount = 4 << 10
        limits.spilledPortionByteCount = 2 << 10
        limits.spilledNameCount = 64
        limits.sorterByteCount = 16 << 10
        var options = ImportVectorOptions()
        options.hamtThreshold = 1
        func result(_ limits: DirectoryLimits) throws -> ImportResult {
            var driver = try ImportDriver(
                ImportOptions(options), limits: limits, keepsContents: true)
            for number in 0..<3000 { try driver.addFile("d/file \(number)", "\(number % 7)") }
            return try driver.finish()
        }
        let spilled = try result(limits)
        let inMemory = try result(DirectoryLimits())
        #expect(spilled.root == inMemory.root)
        #expect(spilled.blocks.map(\.cid) == inMemory.blocks.map(\.cid))
    }

    /// Files that alternate between directories would otherwise leave a block per file.
    @Test func aDirectoryIsClosedAtMostTwiceWhileMemoryLasts() throws {
        var driver = try ImportDriver(ImportOptions(ImportVectorOptions()))
        for number in 0..<300 { try driver.addFile("t/\(number % 3)/\(number % 5)/f\(number)") }
        let result = try driver.finish()
        let reports = Dictionary(grouping: result.entries) { $0.path }.mapValues(\.count)
        #expect(reports.count == 300 + 15 + 3 + 1)
        #expect(reports.values.allSatisfy { $0 <= 2 })

        var inOrder = try ImportDriver(ImportOptions(ImportVectorOptions()))
        for top in 0..<3 {
            for middle in 0..<5 {
                for number in 0..<300 where number % 3 == top && number % 5 == middle {
                    try inOrder.addFile("t/\(top)/\(middle)/f\(number)")
                }
            }
        }
        #expect(try inOrder.finish().root == result.root)
    }

    @Test func aSinkGetsTheSameOutputAsTakingIt() throws {
        var received: [ImportOutput] = []
        var largestPortion = 0
        var options = ImportVectorOptions()
        options.hamtThreshold = 1
        options.hamtFanout = 8
        var importer = try TreeImporter(
            options: ImportOptions(options), scratch: MemoryScratch(),
            sink: {
                received += $0
                largestPortion = max(largestPortion, $0.count)
            })
        for number in 0..<20_000 {
            try importer.beginFile(
                ImportPath.cleaning(Array("d/\(number)".utf8)), EntryMetadata.none)
            try importer.endFile()
        }
        let root = try importer.finish()
        let rest = importer.takeOutput()
        #expect(!rest.isEmpty && received.count > rest.count)
        var driver = try ImportDriver(ImportOptions(options))
        for number in 0..<20_000 { try driver.addFile("d/\(number)", "") }
        let result = try driver.finish()
        #expect(result.root == root)
        let blocks = Set(
            (received + rest).compactMap { if case .block(let cid, _) = $0 { cid } else { nil } })
        #expect(blocks == Set(result.blocks.map(\.cid)))
        #expect(largestPortion < 20_000)
    }

    @Test func directoriesThatOnlyHoldEmptyOnesAreKeptAsInKubo() throws {
        var options = ImportVectorOptions()
        options.noEmptyDirectories = true
        var driver = try ImportDriver(ImportOptions(options))
        try driver.addDirectory("d")
        try driver.addDirectory("d/e")
        try driver.addDirectory("d/e/f")
        let result = try driver.finish()
        #expect(Set(result.cidsByPath.keys) == [Array("d".utf8), Array("d/e".utf8)])
    }

    @Test func anEmptyRootIsKept() throws {
        var options = ImportVectorOptions()
        options.noEmptyDirectories = true
        var driver = try ImportDriver(ImportOptions(options))
        try driver.addDirectory("d")
        let root = try driver.finish().root
        #expect("\(root.cid)" == "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
    }

    @Test func directoriesThatMustNotBeShardedHaveALimit() throws {
        var options = ImportVectorOptions()
        options.hamtThreshold = -1
        var driver = try ImportDriver(ImportOptions(options))
        let name = String(repeating: "n", count: 4000)
        for number in 0..<600 { try driver.addFile("top/d/\(number)\(name)") }
        expectError("directory “top/d” needs a block of") { _ = try driver.finish() }

        options.maxDirectoryLinks = 2
        driver = try ImportDriver(ImportOptions(options))
        for number in 0..<3 { try driver.addFile("top/\(number)") }
        expectError("has 3 entries, max-directory-links allows 2") { _ = try driver.finish() }
    }

    @Test func blocksBeyondTheLimitAreRefused() throws {
        var options = ImportVectorOptions()
        options.chunker = "size-110"
        options.inline = true
        options.inlineLimit = 128
        options.maxLinks = 16384
        let file = VectorNode(name: Array("f".utf8), .file(.zeros(byteCount: 16384 * 110)))
        expectError("“f” needs a block of") { _ = try importing(file, options) }
    }

    @Test func reportedDirectoriesComeAfterWhatTheyHold() throws {
        var driver = try ImportDriver(ImportOptions(ImportVectorOptions()))
        for path in ["t/a/1", "t/a/2", "t/b", "t/c/d/3"] { try driver.addFile(path) }
        let paths = try driver.finish().entries.map { String(decoding: $0.path, as: UTF8.self) }
        #expect(paths == ["t/a/1", "t/a/2", "t/a", "t/b", "t/c/d/3", "t/c/d", "t/c", "t"])
    }
}

/// A tree of files, symlinks and directories made from a seed.
struct RandomTree {
    struct Entry: Sendable {
        var path: [[UInt8]]
        var node: VectorNode
    }

    private(set) var entries: [Entry] = []

    var directories: [Entry] {
        entries.filter { if case .directory = $0.node.content { true } else { false } }
    }

    var files: [Entry] {
        entries.filter { if case .directory = $0.node.content { false } else { true } }
    }

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        fill([Array("root".utf8)], depth: 0, &random)
    }

    private mutating func fill(
        _ path: [[UInt8]], depth: Int, _ random: inout SeededGenerator
    ) {
        let mode = UInt32.random(in: 0...0o777, using: &random)
        entries.append(Entry(path: path, node: VectorNode(.directory([]), mode: mode)))
        var names: Set<[UInt8]> = []
        for _ in 0..<Int.random(in: 0...(depth == 0 ? 20 : 14), using: &random) {
            let length = Int.random(in: 1...9, using: &random)
            names.insert((0..<length).map { _ in UInt8.random(in: 0x30...0xff, using: &random) })
        }
        // A set's order differs from process to process.
        for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            switch Int.random(in: 0..<6, using: &random) {
            case 0 where depth < 3, 1 where depth < 3:
                fill(path + [name], depth: depth + 1, &random)
            case 2:
                entries.append(
                    Entry(path: path + [name], node: VectorNode(.symlink(target: name))))
            default:
                let content = [UInt8](repeating: name[0], count: Int(name[0]) % 40)
                entries.append(
                    Entry(path: path + [name], node: VectorNode(.file(.bytes(content)))))
            }
        }
    }

    func result(
        of entries: [Entry], _ options: ImportVectorOptions,
        limits: DirectoryLimits = DirectoryLimits()
    ) throws -> ImportResult {
        var driver = try ImportDriver(
            ImportOptions(options), limits: limits, keepsContents: true)
        for entry in entries { try driver.add(entry.node, at: entry.path) }
        return try driver.finish()
    }
}
