import SeededRandom
import Testing

@testable import Spill

/// How keys are drawn. Only the first kind is what the table is tuned for.
enum KeyShape: CaseIterable {
    case uniform, sameFirstWord, counting, sameButLastWord

    func key(_ generator: inout SeededGenerator, among keyCount: UInt64) -> SpillKey {
        let number = generator.next() % keyCount
        var spread = SeededGenerator(seed: number)
        switch self {
        case .uniform:
            return SpillKey(spread.next(), spread.next(), spread.next(), spread.next())
        case .sameFirstWord:
            return SpillKey(7, spread.next(), spread.next(), spread.next())
        case .counting:
            return SpillKey(number, 0, 0, 0)
        case .sameButLastWord:
            return SpillKey(.max, .max, .max, number)
        }
    }
}

@Suite struct SpillTableTests {
    @Test(arguments: KeyShape.allCases, [(1, 0), (3, 1 << 20), (64, 256), (100_000, 0)])
    func answersAsADictionaryDoes(shape: KeyShape, limits: (entries: Int, filterBytes: Int)) throws
    {
        for seed in UInt64(1)...2 {
            var generator = SeededGenerator(seed: seed)
            let table = SpillTable(
                scratch: MemoryScratch(), memoryEntryLimit: limits.entries,
                filterByteLimit: limits.filterBytes, seed: seed)
            var model: [SpillKey: UInt64] = [:]
            for step in 0..<1500 {
                let key = shape.key(&generator, among: 600)
                let value = generator.next()
                let found: UInt64?
                let known = model[key]
                switch generator.next() % 3 {
                case 0:
                    found = try table.lookup(key)
                case 1:
                    found = try table.insert(key, value)
                    model[key] = value
                default:
                    found = try table.insertIfAbsent(key, value)
                    model[key] = known ?? value
                }
                try #require(
                    found == known && table.count == model.count, "seed \(seed), step \(step)")
            }
            var sorted: [(SpillKey, UInt64)] = []
            try table.forEachSorted { sorted.append(($0, $1)) }
            let expected = model.sorted { $0.key < $1.key }
            #expect(sorted.map(\.0) == expected.map(\.key), "seed \(seed)")
            #expect(sorted.map(\.1) == expected.map(\.value), "seed \(seed)")
        }
    }

    @Test func staysUsableAfterSortedIteration() throws {
        let table = SpillTable(scratch: MemoryScratch(), memoryEntryLimit: 10)
        var generator = SeededGenerator(seed: 5)
        let keys = (0..<25).map { _ in KeyShape.uniform.key(&generator, among: .max) }
        for (number, key) in keys.enumerated() { try table.insert(key, UInt64(number)) }
        try table.forEachSorted { _, _ in }
        for (number, key) in keys.enumerated() {
            #expect(try table.insert(key, 1000) == UInt64(number))
        }
        #expect(table.count == 25)
    }

    @Test func runsStayFewBecauseTiersAreMerged() throws {
        let table = SpillTable(scratch: MemoryScratch(), memoryEntryLimit: 2)
        for number in UInt64(0)..<4096 { try table.insert(SpillKey(number, 0, 0, 0), number) }
        // 2048 runs of two entries are four tiers of at most seven.
        #expect(table.runCount <= 28)
    }

    @Test func makesNoFileBeforeMemoryIsFull() throws {
        let table = SpillTable(
            scratch: FaultyScratch(roomByteCount: 0), memoryEntryLimit: 50)
        for number in UInt64(0)..<50 { try table.insert(SpillKey(number, 0, 0, 0), number) }
        #expect(table.runCount == 0)
    }

    @Test func fullDiskIsReportedAndStaysReported() throws {
        let table = SpillTable(
            scratch: FaultyScratch(roomByteCount: 300), memoryEntryLimit: 10)
        for number in UInt64(0)..<10 { try table.insert(SpillKey(number, 0, 0, 0), number) }
        #expect(throws: FaultyScratch.Fault.noSpace) {
            try table.insert(SpillKey(10, 0, 0, 0), 10)
        }
        // Half of the entries may be gone: no answer is better than a wrong one.
        #expect(throws: FaultyScratch.Fault.noSpace) { try table.lookup(SpillKey(3, 0, 0, 0)) }
        #expect(throws: FaultyScratch.Fault.noSpace) { try table.forEachSorted { _, _ in } }
    }

    @Test func runThatWasCutShortIsReported() throws {
        let table = SpillTable(
            scratch: FaultyScratch(lostByteCount: 40), memoryEntryLimit: 10, filterByteLimit: 0)
        for number in UInt64(0)..<10 { try table.insert(SpillKey(number, 0, 0, 0), number) }
        #expect(throws: SpillError.self) { try table.insert(SpillKey(10, 0, 0, 0), 10) }
    }

    @Test func filtersStayWithinTheirBudgetAndDoNotLie() {
        let filter = BloomFilter(byteCount: 1250)
        #expect(filter.byteCount == 1216)
        var generator = SeededGenerator(seed: 9)
        let present = (0..<1000).map { _ in generator.next() }
        for hash in present { filter.insert(hash) }
        #expect(present.allSatisfy(filter.mayContain))
        let wrong = (0..<100_000).count { _ in filter.mayContain(generator.next()) }
        #expect(wrong < 3000, "more than 3 % of absent keys pass")
    }
}
