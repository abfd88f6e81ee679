import Multiformats
import SeededRandom
import Testing
import VectorInputs

@testable import Importer

/// Names that somebody made so that their HAMT hashes are equal.
@Suite struct ImportHashCollisionTests {
    @Test func collidingNamesHaveOneHash() {
        let names = Self.collidingNames(count: 50)
        #expect(Set(names).count == 50)
        #expect(Set(names.map { MurmurHash3.x64Hash64($0) }).count == 1)
    }

    @Test func aDirectoryOfCollidingNamesIsSpilledEarlyAndRight() throws {
        let names = Self.collidingNames(count: 1500)
        var driver = try ImportDriver(
            ImportOptions(profile: .unixfsV0_2015), keepsContents: true)
        for name in names { try driver.addFile("d", name) }
        expectError("is already a file") {
            var copy = driver
            try copy.addFile("d", names[700])
        }
        let result = try driver.finish()
        let block = try #require(result.contents[result.root.cid])
        let node = try block.withUnsafeBytes { try DagPBNode(decoding: $0) }
        #expect(node.links.map(\.name) == names.sorted { $0.lexicographicallyPrecedes($1) })
    }

    @Test(arguments: [2, 1500])
    func aHAMTCannotHoldThem(count: Int) throws {
        var options = ImportVectorOptions()
        options.hamtThreshold = 1
        var driver = try ImportDriver(ImportOptions(options))
        for name in Self.collidingNames(count: count) { try driver.addFile("d", name) }
        expectError("equals that of another name; rename it") { _ = try driver.finish() }
    }

    @Test func crowdedIndexesAreNoticed() {
        var entries = DirectoryEntries()
        let cid = CID.identity(codec: .raw, data: UnsafeRawBufferPointer(start: nil, count: 0))
        for name in Self.collidingNames(count: 600) {
            entries.append(
                NewEntry(
                    kind: .file, name: name, hash: MurmurHash3.x64Hash64(name), cid: cid,
                    tsize: 0))
        }
        #expect(entries.isCrowded)
        entries = DirectoryEntries()
        for number in 0..<60_000 {
            let name = Array("file \(number)".utf8)
            entries.append(
                NewEntry(
                    kind: .file, name: name, hash: MurmurHash3.x64Hash64(name), cid: cid,
                    tsize: 0))
        }
        #expect(!entries.isCrowded)
    }

    // MARK: - MurmurHash3 backwards

    /// Names of one 16-byte block: each half of the state is chosen, the other solved for.
    static func collidingNames(count: Int) -> [[UInt8]] {
        let target: UInt64 = 0x0123_4567_89ab_cdef
        var names: [[UInt8]] = []
        var random = SeededGenerator(seed: 3)
        while names.count < count {
            // The hash is mix(sum) + mix(sum + second), with sum = first + second.
            let sum = random.next()
            let other = unmixed(target &- mixed(sum))
            let second = other &- sum
            let first = sum &- second
            let name = name(first: first ^ 16, second: second ^ 16)
            if !name.contains(0), !name.contains(UInt8(ascii: "/")) { names.append(name) }
        }
        return names
    }

    /// The block after which the state is `first` and `second`.
    private static func name(first: UInt64, second: UInt64) -> [UInt8] {
        let fifth: UInt64 = 0xcccc_cccc_cccc_cccd
        let h1 = rotated(((first &- 0x52dc_e729) &* fifth), 64 - 27)
        let h2 = rotated((((second &- 0x3849_5ab5) &* fifth) &- first), 64 - 31)
        let k1 = rotated(h1 &* inverse(c2), 64 - 31) &* inverse(c1)
        let k2 = rotated(h2 &* inverse(c1), 64 - 33) &* inverse(c2)
        return withUnsafeBytes(of: k1.littleEndian, Array.init)
            + withUnsafeBytes(of: k2.littleEndian, Array.init)
    }

    private static let c1: UInt64 = 0x87c3_7b91_1142_53d5
    private static let c2: UInt64 = 0x4cf5_ad43_2745_937f

    private static func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 {
        value << count | value >> (64 - count)
    }

    private static func mixed(_ value: UInt64) -> UInt64 {
        var mixed = value ^ value >> 33
        mixed &*= 0xff51_afd7_ed55_8ccd
        mixed ^= mixed >> 33
        mixed &*= 0xc4ce_b9fe_1a85_ec53
        return mixed ^ mixed >> 33
    }

    private static func unmixed(_ value: UInt64) -> UInt64 {
        var mixed = value ^ value >> 33
        mixed &*= inverse(0xc4ce_b9fe_1a85_ec53)
        mixed ^= mixed >> 33
        mixed &*= inverse(0xff51_afd7_ed55_8ccd)
        return mixed ^ mixed >> 33
    }

    /// The inverse of an odd number modulo 2^64, by Newton's iteration.
    private static func inverse(_ odd: UInt64) -> UInt64 {
        var result = odd
        for _ in 0..<6 { result &*= 2 &- odd &* result }
        return result
    }
}

extension ImportDriver {
    /// Adds a one-byte file below a directory, under any name.
    mutating func addFile(_ directory: String, _ name: [UInt8]) throws {
        try addFile(
            ImportPath(components: [Array(directory.utf8), name]), EntryMetadata(), .bytes([0x78]))
    }
}
