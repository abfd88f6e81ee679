import SeededRandom
import Synchronization
import Testing

@testable import Spill

@Suite struct ExternalSorterTests {
    /// Records that end in a number, drawn so that many are equal before it.
    private func makeRecords(seed: UInt64, count: Int, longest: Int) -> [[UInt8]] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in
            let length = Int(generator.next() % UInt64(longest + 1))
            return (0..<length).map { _ in UInt8(truncatingIfNeeded: generator.next() % 3) * 0x7f }
        }
    }

    private func add(_ records: [[UInt8]], to sorter: ExternalSorter) throws {
        for record in records { try record.withUnsafeBytes { try sorter.add($0) } }
    }

    private func sorted(_ sorter: ExternalSorter) throws -> [[UInt8]] {
        var records: [[UInt8]] = []
        try sorter.forEachSorted { records.append(Array($0)) }
        return records
    }

    @Test(arguments: [(0, 5), (1, 0), (400, 12), (5000, 30), (12_000, 6), (300, 900)])
    func sortsAsAnArrayDoes(count: Int, longest: Int) throws {
        for memory in [4096, 20_000, 16 << 20] {
            let records = makeRecords(seed: UInt64(count + memory), count: count, longest: longest)
            let sorter = ExternalSorter(scratch: MemoryScratch(), memoryByteLimit: memory)
            try add(records, to: sorter)
            #expect(sorter.count == count)
            let expected = records.sorted { $0.lexicographicallyPrecedes($1) }
            #expect(try sorted(sorter) == expected, "memory \(memory)")
            #expect(sorter.count == 0)
        }
    }

    @Test func sorterCanBeUsedAgain() throws {
        let sorter = ExternalSorter(scratch: MemoryScratch(), memoryByteLimit: 4096)
        for seed in UInt64(1)...3 {
            let records = makeRecords(seed: seed, count: 2000, longest: 10)
            try add(records, to: sorter)
            #expect(try sorted(sorter) == records.sorted { $0.lexicographicallyPrecedes($1) })
        }
    }

    @Test func longRecordsAreMergedInPassesThatFitInMemory() throws {
        final class CountingScratch: ScratchSpace {
            let fileCount = Mutex(0)

            func makeFile() -> any ScratchFile {
                fileCount.withLock { $0 += 1 }
                return MemoryScratchFile()
            }
        }
        let scratch = CountingScratch()
        let sorter = ExternalSorter(scratch: scratch, memoryByteLimit: 4096)
        for number in (UInt8(0)..<68).reversed() {
            try add([[UInt8](repeating: number, count: 900)], to: sorter)
        }
        #expect(try sorted(sorter).map { $0[0] } == Array(0..<68))
        // Four records fill the memory, and four readers do: 17 runs, then 5, then 2.
        #expect(scratch.fileCount.withLock { $0 } == 17 + 5 + 2)
    }

    @Test func tooLongRecordIsRefusedAndTheOthersStay() throws {
        let sorter = ExternalSorter(scratch: MemoryScratch(), memoryByteLimit: 4096)
        try add([[2], [1]], to: sorter)
        #expect(throws: SpillError.recordTooLong(byteCount: 961, limit: 960)) {
            try add([[UInt8](repeating: 0, count: 961)], to: sorter)
        }
        let longest = [UInt8](repeating: 3, count: 960)
        for _ in 0..<10 { try add([longest], to: sorter) }
        #expect(try sorted(sorter) == [[1], [2]] + Array(repeating: longest, count: 10))
    }

    @Test func fullDiskIsReported() throws {
        let sorter = ExternalSorter(
            scratch: FaultyScratch(roomByteCount: 2000), memoryByteLimit: 4096)
        #expect(throws: FaultyScratch.Fault.noSpace) {
            try add(makeRecords(seed: 1, count: 5000, longest: 20), to: sorter)
        }
    }

    @Test func runThatWasCutShortIsReported() throws {
        let sorter = ExternalSorter(
            scratch: FaultyScratch(lostByteCount: 3), memoryByteLimit: 4096)
        try add(Array(repeating: [1, 2, 3, 4, 5, 6, 7, 8], count: 500), to: sorter)
        #expect(throws: SpillError.self) { try sorted(sorter) }
    }

    @Test func makesNoFileWhileRecordsFitInMemory() throws {
        let sorter = ExternalSorter(
            scratch: FaultyScratch(roomByteCount: 0), memoryByteLimit: 1 << 20)
        let records = makeRecords(seed: 8, count: 5000, longest: 20)
        try add(records, to: sorter)
        #expect(try sorted(sorter).count == 5000)
    }
}
