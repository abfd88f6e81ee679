import Foundation
import SeededRandom
import Synchronization
import Testing

@testable import ClusterCore

/// A catalogue in a directory of its own, beside a model that knows everything.
private final class CatalogueFixture {
    let directory: String
    var catalogue: BlockCatalogue
    var shards: [UInt32: [UInt64]] = [:]
    static let limits = BlockCatalogueLimits(
        memoryEntryLimit: 60, memoryShardLimit: 5, growthFactor: 3, runLimit: 8)

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/catalogue-XXXXXX").utf8CString)
        directory = String(cString: mkdtemp(&template))
        catalogue = try BlockCatalogue.open(
            directory: directory, liveSerials: [], limits: CatalogueFixture.limits
        ).catalogue
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// Opens the directory anew and adds what is missing, as a start does.
    @discardableResult
    func reopen() throws -> [UInt32] {
        let (opened, missing) = try BlockCatalogue.open(
            directory: directory, liveSerials: Set(shards.keys), limits: CatalogueFixture.limits)
        catalogue = opened
        for serial in missing { try opened.add(serial, sortedKeys: shards[serial]!) }
        return missing
    }

    func add(_ serial: UInt32, _ keys: [UInt64]) throws {
        shards[serial] = keys.sorted()
        try catalogue.add(serial, sortedKeys: keys.sorted())
    }

    func remove(_ serial: UInt32) {
        shards[serial] = nil
        catalogue.remove(serial)
    }

    func expected(_ key: UInt64) -> [UInt32] {
        shards.filter { $0.value.contains(key) }.map(\.key).sorted()
    }

    /// Compares all keys of all shards and some of none.
    func check(_ comment: Comment) throws {
        var holders: [UInt64: [UInt32]] = [0: [], .max: [], 1 << 63: []]
        for (serial, keys) in shards {
            for key in Set(keys) { holders[key, default: []] += [serial] }
        }
        for (key, serials) in holders {
            try #require(try catalogue.candidates(for: key) == serials.sorted(), comment)
        }
    }

    var runNames: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        }
    }
}

private final class WriterCount: Sendable {
    let running = Mutex(2)
}

@Suite struct BlockCatalogueTests {
    @Test(arguments: UInt64(1)...6)
    func namesExactlyTheShardsThatHoldABlock(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let fixture = try CatalogueFixture()
        let pool = (0..<400).map { _ in random.next() }
        var nextSerial: UInt32 = 0
        for step in 0..<250 {
            switch random.next() % 10 {
            case 0..<6:
                let count = Int(random.next() % (random.next() % 8 == 0 ? 200 : 20))
                let keys = (0..<count).map { _ in
                    random.next() % 3 == 0 ? pool.randomElement(using: &random)! : random.next()
                }
                try fixture.add(nextSerial, keys)
                nextSerial += 1
            case 6, 7:
                let serial = fixture.shards.keys.sorted().randomElement(using: &random)
                if let serial { fixture.remove(serial) }
            case 8:
                try fixture.catalogue.mergeIfNeeded()
            default:
                try fixture.reopen()
                #expect(fixture.catalogue.nextSerial <= nextSerial)
            }
            if step % 25 == 0 { try fixture.check("seed \(seed), step \(step)") }
        }
        try fixture.catalogue.mergeIfNeeded()
        try fixture.check("seed \(seed), at the end")
    }

    @Test func runsStayFewWhateverIsAdded() throws {
        let fixture = try CatalogueFixture()
        var random = SeededGenerator(seed: 4)
        for serial in UInt32(0)..<2000 {
            try fixture.catalogue.add(serial, sortedKeys: [random.next()])
            if serial % 10 == 0 { try fixture.catalogue.mergeIfNeeded() }
        }
        // Each run is at least three times as long as all shorter ones: log base 4 of 400 batches.
        #expect(fixture.catalogue.statistics.runCount <= 6)
        #expect(try fixture.runNames.count == fixture.catalogue.statistics.runCount)
    }

    @Test func addingMergesByItselfBeforeFilesBecomeMany() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<500 {
            try fixture.catalogue.add(serial, sortedKeys: [UInt64(serial)])
            #expect(fixture.catalogue.statistics.runCount <= CatalogueFixture.limits.runLimit)
        }
    }

    @Test func onlyWhatWasInMemoryIsMissingAfterACrash() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<12 { try fixture.add(serial, [UInt64(serial) << 40, 9]) }
        #expect(try fixture.reopen() == [10, 11])
        try fixture.check("after the missing were added")
        try fixture.catalogue.flush()
        #expect(try fixture.reopen() == [])
        try fixture.check("after a flush")
    }

    @Test func removedShardsAreForgottenByMerging() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<20 { try fixture.add(serial, [UInt64(serial) << 50]) }
        for serial in UInt32(0)..<16 { fixture.remove(serial) }
        #expect(fixture.catalogue.statistics.deadSerialCount == 16)
        try fixture.check("before merging")
        try fixture.catalogue.mergeIfNeeded()
        #expect(fixture.catalogue.statistics.deadSerialCount == 0)
        #expect(fixture.catalogue.statistics.entryCount == 4)
        #expect(try fixture.reopen() == [])
        try fixture.check("after merging")
    }

    @Test func mergingNothingButRemovedShardsLeavesNoFile() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<5 { try fixture.add(serial, [1, 2, 3]) }
        for serial in UInt32(0)..<5 { fixture.remove(serial) }
        try fixture.catalogue.mergeIfNeeded()
        #expect(try fixture.runNames == [])
    }

    @Test func shardMayComeBackUnderItsSerial() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<5 { try fixture.add(serial, [UInt64(serial)]) }
        fixture.remove(2)
        #expect(try fixture.catalogue.candidates(for: 2) == [])
        try fixture.add(2, [2])
        #expect(try fixture.catalogue.candidates(for: 2) == [2])
        try fixture.add(2, [2])
        try fixture.catalogue.flush()
        try fixture.catalogue.mergeIfNeeded()
        try fixture.reopen()
        #expect(try fixture.catalogue.candidates(for: 2) == [2])
    }

    @Test func shardLargerThanMemoryIsWrittenAtOnce() throws {
        let fixture = try CatalogueFixture()
        try fixture.add(0, (0..<2000).map { ($0 / 2) << 50 })
        #expect(fixture.catalogue.statistics.entryCount == 1000)
        #expect(fixture.catalogue.statistics.recentEntryCount == 0)
        #expect(try fixture.reopen() == [])
        try fixture.check("after reopening")
    }

    @Test func shardWithoutBlocksIsKnown() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<5 { try fixture.add(serial, []) }
        #expect(try fixture.reopen() == [])
    }

    @Test func keySourceThatFailsAddsNothing() throws {
        struct Unreadable: Error {}
        let fixture = try CatalogueFixture()
        var given = 0
        #expect(throws: Unreadable.self) {
            try fixture.catalogue.add(7) {
                given += 1
                if given > 100 { throw Unreadable() }
                return UInt64(given)
            }
        }
        #expect(try fixture.runNames == [])
        #expect(try fixture.catalogue.candidates(for: 3) == [])
        try fixture.add(7, [3])
        #expect(try fixture.catalogue.candidates(for: 3) == [7])
    }

    @Test func lookUpsGoOnWhileShardsComeAndGo() async throws {
        let fixture = try CatalogueFixture()
        let catalogue = fixture.catalogue
        try catalogue.add(0, sortedKeys: [42])
        let writers = WriterCount()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                repeat {
                    let found = try catalogue.candidates(for: 42)
                    try #require(found == [0])
                    await Task.yield()
                } while writers.running.withLock { $0 > 0 }
            }
            group.addTask {
                for serial in UInt32(1)..<400 {
                    try catalogue.add(serial, sortedKeys: [UInt64(serial) << 44, .max])
                    if serial % 3 == 0 { catalogue.remove(serial - 1) }
                    await Task.yield()
                }
                writers.running.withLock { $0 -= 1 }
            }
            group.addTask {
                for _ in 0..<100 {
                    try catalogue.mergeIfNeeded()
                    await Task.yield()
                }
                writers.running.withLock { $0 -= 1 }
            }
            try await group.waitForAll()
        }
        let expected = (UInt32(1)..<400).filter { $0 % 3 != 2 }
        #expect(try catalogue.candidates(for: .max) == expected)
    }
}

@Suite struct BlockCatalogueDamageTests {
    @Test func everyFlippedByteIsNoticedAndTheShardsReportedMissing() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<5 { try fixture.add(serial, [UInt64(serial) << 50, 77]) }
        let name = try #require(try fixture.runNames.first)
        let path = fixture.directory + "/" + name
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        for position in whole.indices {
            var damaged = whole
            damaged[position] ^= 0x10
            try Data(damaged).write(to: URL(fileURLWithPath: path))
            let missing = try BlockCatalogue.open(
                directory: fixture.directory, liveSerials: Set(fixture.shards.keys)
            ).missingSerials
            try #require(missing == [0, 1, 2, 3, 4], "byte \(position)")
            try #require(try fixture.runNames == [], "byte \(position)")
        }
    }

    @Test func runOfAnyOtherLengthIsNoticed() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<5 { try fixture.add(serial, [UInt64(serial) << 50, 77]) }
        let name = try #require(try fixture.runNames.first)
        let url = URL(fileURLWithPath: fixture.directory + "/" + name)
        let whole = try Data(contentsOf: url)
        for length in 0..<whole.count {
            try whole.prefix(length).write(to: url)
            let missing = try fixture.openOnly()
            try #require(missing == [0, 1, 2, 3, 4], "length \(length)")
        }
        try (whole + [0]).write(to: url)
        #expect(try fixture.openOnly() == [0, 1, 2, 3, 4])
        try Data(count: whole.count).write(to: url)
        #expect(try fixture.openOnly() == [0, 1, 2, 3, 4])
        try whole.write(to: url)
        #expect(try fixture.openOnly() == [])
    }

    @Test func damageOfOneRunLeavesTheOthers() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<15 { try fixture.add(serial, [UInt64(serial) << 50]) }
        let names = try fixture.runNames
        #expect(names.count == 3)
        try Data("rubbish".utf8).write(to: URL(fileURLWithPath: fixture.directory + "/" + names[1]))
        #expect(try fixture.reopen() == [5, 6, 7, 8, 9])
        try fixture.check("after the rebuild")
    }

    @Test func crashBetweenMergeAndRemovalLeavesNoDoubles() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<10 { try fixture.add(serial, [UInt64(serial) << 50]) }
        let sources = try fixture.runNames.map { name in
            (name, try Data(contentsOf: URL(fileURLWithPath: fixture.directory + "/" + name)))
        }
        try fixture.catalogue.mergeIfNeeded()
        for (name, contents) in sources {
            try contents.write(to: URL(fileURLWithPath: fixture.directory + "/" + name))
        }
        #expect(try fixture.openOnly() == [])
        #expect(try fixture.runNames.count == 1)
    }

    @Test func unfinishedFilesAreSweptAndForeignOnesLeft() throws {
        let fixture = try CatalogueFixture()
        for name in ["run-0000000000000007.catalogue.new", "notes.txt", "run-7.catalogue"] {
            try Data("x".utf8).write(to: URL(fileURLWithPath: fixture.directory + "/" + name))
        }
        #expect(try fixture.openOnly() == [])
        #expect(try fixture.runNames == ["notes.txt", "run-7.catalogue"])
    }

    @Test func directoryThatCannotBeWrittenLeavesTheCatalogueAsItWas() throws {
        let fixture = try CatalogueFixture()
        for serial in UInt32(0)..<4 { try fixture.add(serial, [5]) }
        try FileManager.default.removeItem(atPath: fixture.directory)
        #expect(throws: (any Error).self) { try fixture.catalogue.add(4, sortedKeys: [5]) }
        #expect(try fixture.catalogue.candidates(for: 5) == [0, 1, 2, 3])
    }
}

extension CatalogueFixture {
    fileprivate func openOnly() throws -> [UInt32] {
        try BlockCatalogue.open(directory: directory, liveSerials: Set(shards.keys)).missingSerials
    }
}

@Suite struct BlockCatalogueFormatTests {
    /// From python-xxhash 4.1.0 (libxxhash 0.8.4): `xxh64(bytes(i*7%251 for i in range(n)), 0)`.
    @Test(
        arguments: [
            (0, 0xef46_db37_51d8_e999), (1, 0xe934_a84a_db05_2768), (3, 0x9ff7_0a63_5a62_09ab),
            (4, 0xae5a_cdc0_0a55_ac41), (8, 0x8711_6b33_65b9_24eb), (31, 0x0f18_7c62_b1e7_22b7),
            (32, 0x91b0_cb09_31a8_c629), (33, 0x931b_043c_f8d6_5b94), (100, 0xb7fe_1d84_b2f2_3a05),
            (1000, 0x023f_d2ed_1ff9_57d5),
        ] as [(Int, UInt64)])
    func checksumIsThatOfTheReferenceLibrary(byteCount: Int, expected: UInt64) {
        let bytes = (0..<byteCount).map { UInt8($0 * 7 % 251) }
        #expect(XXH64.hash(bytes) == expected)
        for cut in stride(from: 0, through: byteCount, by: 7) {
            var pieces = XXH64()
            bytes.withUnsafeBytes { all in
                pieces.update(UnsafeRawBufferPointer(rebasing: all[..<cut]))
                pieces.update(UnsafeRawBufferPointer(rebasing: all[cut...]))
            }
            #expect(pieces.finish() == expected, "cut at \(cut)")
        }
    }

    /// The bytes of rfcs/0004's example; its checksums are from python-xxhash 4.1.0.
    @Test func fileIsByteForByteAsTheRFCSays() throws {
        let fixture = try CatalogueFixture()
        try fixture.add(3, [0x0102_0304_0506_0708, 0xffee_ddcc_bbaa_9988])
        try fixture.add(7, [0x0102_0304_0506_0708])
        try fixture.catalogue.flush()
        #expect(try fixture.runNames == ["run-0000000000000000.catalogue"])
        let contents = try Data(
            contentsOf: URL(fileURLWithPath: fixture.directory + "/run-0000000000000000.catalogue"))
        let hex = contents.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(hex == BlockCatalogueFormatTests.golden)
    }

    private static let golden =
        "424c4b4341544c4700000001000000020000000000000003eb58bde45d85b977"
        + "2a78cc0ec7ce08ae010203040506070800000003010203040506070800000007"
        + "ffeeddccbbaa99880000000300000003000000020000000700000001"
}
