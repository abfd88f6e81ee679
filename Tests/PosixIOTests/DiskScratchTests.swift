import Spill
import Testing

@testable import PosixIO

@Suite struct DiskScratchTests {
    private let directory = TemporaryDirectory()

    @Test(arguments: [
        [10], [70_000], [1, 65_535, 1, 65_536, 65_537, 3], [30_000, 30_000, 30_000],
    ])
    func readsSeeWhatWasAppendedWrittenOrNot(lengths: [Int]) throws {
        let file = try DiskScratch(directory: directory.path).makeFile()
        var model: [UInt8] = []
        for length in lengths {
            let piece = (0..<length).map { UInt8(truncatingIfNeeded: (model.count + $0) * 31 >> 3) }
            #expect(try piece.withUnsafeBytes { try file.append($0) } == UInt64(model.count))
            model += piece
            for start in [0, model.count / 2, max(0, model.count - 70_000)] {
                #expect(try read(file, start, model.count - start) == Array(model[start...]))
            }
        }
        try file.endAppending()
        #expect(file.byteCount == UInt64(model.count))
        #expect(try read(file, 0, model.count) == model)
    }

    @Test func readingPastTheEndIsAnError() throws {
        let file = try DiskScratch(directory: directory.path).makeFile()
        _ = try [UInt8](repeating: 1, count: 100).withUnsafeBytes { try file.append($0) }
        #expect(throws: SpillError.self) { try read(file, 50, 51) }
    }

    @Test func leavesNoNameBehind() throws {
        let file = try DiskScratch(directory: directory.path).makeFile()
        _ = try [UInt8](repeating: 1, count: 100_000).withUnsafeBytes { try file.append($0) }
        #expect(try Directory(directory.path).loadNames() == [])
    }

    @Test func missingDirectoryIsAnError() {
        #expect(throws: IOError.self) {
            try DiskScratch(directory: directory.file("absent")).makeFile()
        }
    }

    @Test func tableAndSorterWorkOnDisk() throws {
        let scratch = DiskScratch(directory: directory.path)
        let table = SpillTable(scratch: scratch, memoryEntryLimit: 100)
        for number in UInt64(0)..<5000 {
            try table.insert(SpillKey(number &* 0x9e37_79b9_7f4a_7c15, 0, 0, 0), number)
        }
        for number in UInt64(0)..<5000 {
            let value = try table.lookup(SpillKey(number &* 0x9e37_79b9_7f4a_7c15, 0, 0, 0))
            try #require(value == number)
        }
        let sorter = ExternalSorter(scratch: scratch, memoryByteLimit: 4096)
        for number in (UInt16(0)..<5000).reversed() {
            try withUnsafeBytes(of: number.bigEndian) { try sorter.add($0) }
        }
        var next: UInt16 = 0
        try sorter.forEachSorted { record in
            try #require(UInt16(record[0]) << 8 | UInt16(record[1]) == next)
            next += 1
        }
        #expect(next == 5000)
    }

    private func read(_ file: any ScratchFile, _ offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try file.read(at: UInt64(offset), into: $0) }
        return bytes
    }
}
