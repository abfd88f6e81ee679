import SeededRandom
import Testing

@testable import Spill

/// A file that counts how often it is read.
private final class CountingReader: PositionedReader {
    private let bytes: [UInt8]
    private(set) var readCount = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func read(at offset: UInt64, into target: UnsafeMutableRawBufferPointer) {
        readCount += 1
        target.copyBytes(from: bytes[Int(offset)..<(Int(offset) + target.count)])
    }
}

/// Twelve-byte entries: an eight-byte key and a number.
private struct TwelveByteRun {
    static let layout = EntryLayout(entryByteCount: 12, keyByteCount: 12)
    let entries: [(key: UInt64, number: UInt32)]
    let run: SortedRun
    let reader: CountingReader

    /// - Parameter expectedEntryCount: Fewer than there are make the directory coarse, so that
    ///   look-ups search within a bucket.
    init(
        _ unsorted: [(key: UInt64, number: UInt32)], offset: Int = 5, expectedEntryCount: Int? = nil
    ) {
        entries = unsorted.sorted { $0 < $1 }
        var bytes = [UInt8](repeating: 0xee, count: offset)
        var builder = SortedRunBuilder(
            layout: TwelveByteRun.layout,
            expectedEntryCount: expectedEntryCount ?? entries.count,
            byteOffset: UInt64(offset))
        for entry in entries {
            let start = bytes.count
            withUnsafeBytes(of: entry.key.bigEndian) { bytes.append(contentsOf: $0) }
            withUnsafeBytes(of: entry.number.bigEndian) { bytes.append(contentsOf: $0) }
            bytes.withUnsafeBytes { builder.add($0.baseAddress! + start) }
        }
        run = builder.makeRun()
        reader = CountingReader(bytes)
    }

    func numbers(for key: UInt64) throws -> [UInt32] {
        var found: [UInt32] = []
        try withUnsafeBytes(of: key.bigEndian) { key in
            try run.forEachEntry(withKey: key, in: reader) {
                found.append(
                    UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
            }
        }
        return found
    }
}

@Suite struct SortedRunTests {
    @Test(arguments: [0, 1, 2, 169, 170, 171, 5000, 20_000])
    func findsExactlyTheEntriesOfAKey(entryCount: Int) throws {
        for seed in UInt64(1)...4 {
            var generator = SeededGenerator(seed: seed)
            // Few distinct keys in some seeds, so that matches span windows.
            let keys = (0..<max(1, entryCount / Int(seed * seed))).map { _ in generator.next() }
            let entries = (0..<entryCount).map {
                (keys[Int(generator.next() % UInt64(keys.count))], UInt32($0))
            }
            let run = TwelveByteRun(entries, expectedEntryCount: seed % 2 == 0 ? 0 : entryCount)
            let model = Dictionary(grouping: run.entries, by: \.key).mapValues { $0.map(\.number) }
            let probes = keys.prefix(300) + (0..<100).map { _ in generator.next() } + [0, .max]
            for key in probes {
                let numbers = try run.numbers(for: key)
                try #require(numbers == model[key] ?? [], "seed \(seed), key \(key)")
            }
        }
    }

    @Test func uniformKeysTakeAboutOneRead() throws {
        var generator = SeededGenerator(seed: 3)
        let keys = (0..<200_000).map { _ in generator.next() }
        let run = TwelveByteRun(keys.map { ($0, 1) })
        for key in keys.prefix(1000) { try #require(try run.numbers(for: key) == [1]) }
        #expect(run.reader.readCount < 1100)
    }

    @Test func chosenKeysTakeALogarithmicNumberOfReads() throws {
        // Exponential spacing defeats interpolation at every step.
        let keys = (0..<63).flatMap { power in
            (UInt64(0)..<1000).map { (UInt64(1) << UInt64(power)) + $0 }
        }
        let run = TwelveByteRun(Set(keys).map { ($0, 1) })
        var worst = 0
        for key in Set(keys).sorted().enumerated().filter({ $0.offset % 997 == 0 }).map(\.element) {
            let before = run.reader.readCount
            #expect(try run.numbers(for: key) == [1])
            worst = max(worst, run.reader.readCount - before)
        }
        #expect(worst <= 20)
    }

    @Test func mergingKeepsTheFirstOfEqualKeys() throws {
        let layout = EntryLayout(entryByteCount: 12, keyByteCount: 8)
        for seed in UInt64(1)...20 {
            var generator = SeededGenerator(seed: seed)
            let runs = (0..<UInt32(5)).map { number in
                let keys = Set((0..<200).map { _ in generator.next() % 400 &* 0x0101_0101 })
                return TwelveByteRun(keys.map { ($0, number) })
            }
            var model: [UInt64: UInt32] = [:]
            for run in runs.reversed() {
                for entry in run.entries { model[entry.key] = entry.number }
            }
            var merged: [(UInt64, UInt32)] = []
            let cursors = try runs.map {
                try SortedRunCursor($0.run, in: $0.reader, bufferByteCount: 37)
            }
            try mergeSortedRuns(cursors, layout: layout) { entry in
                merged.append(
                    (
                        UInt64(bigEndian: entry.loadUnaligned(as: UInt64.self)),
                        UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
                    ))
            }
            let expected = model.sorted { $0.key < $1.key }
            #expect(merged.map(\.0) == expected.map(\.key), "seed \(seed)")
            #expect(merged.map(\.1) == expected.map(\.value), "seed \(seed)")
        }
    }
}
