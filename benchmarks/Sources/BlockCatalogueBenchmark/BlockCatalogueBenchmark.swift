import ClusterCore
import Glibc
import PosixIO
import SeededRandom

/// Compares the block catalogue with a SQLite table of the same rows.
///
///     BlockCatalogueBenchmark DIRECTORY SHARDS BLOCKS-PER-SHARD
///
/// Both get one shard at a time and are asked for the same keys in the same random order. Prints one
/// line per figure: name, catalogue, SQLite, ratio. Times are CPU times of the calling thread, user
/// and system, which a busy machine changes least; files stay in the page cache.
@main
enum BlockCatalogueBenchmark {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let shardCount = UInt32(arguments[2]),
            let blockCount = Int(arguments[3])
        else {
            print("usage: BlockCatalogueBenchmark DIRECTORY SHARDS BLOCKS-PER-SHARD")
            exit(2)
        }
        let workload = Workload(shardCount: shardCount, blockCount: blockCount)
        let directory = arguments[1]
        let catalogue = try CatalogueSubject(directory + "/catalogue")
        let table = try SQLiteSubject(directory + "/table.sqlite")

        let catalogueFigures = try measure(catalogue, workload)
        let tableFigures = try measure(table, workload)
        print("\(shardCount) shards of \(blockCount) blocks: figure, catalogue, SQLite, ratio")
        for (ours, theirs) in zip(catalogueFigures, tableFigures) {
            let ratio = theirs.value / ours.value
            print("\(ours.name), \(short(ours.value)), \(short(theirs.value)), \(short(ratio))")
        }
        try catalogue.printOwnFigures(workload)
    }

    struct Figure {
        let name: String
        /// Less is better.
        let value: Double
    }

    /// CPU time of the calling thread.
    static func processorSeconds(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
        let start = now()
        try body()
        return now() - start
    }

    static func measure(_ subject: some Subject, _ workload: Workload) throws -> [Figure] {
        var building = 0.0
        for serial in 0..<workload.shardCount {
            let keys = workload.sortedKeys(of: serial)
            building += try processorSeconds { try subject.add(serial, keys) }
        }
        try subject.endBuilding()
        let hits = workload.randomKeys(500_000)
        var found = 0
        let hitSeconds = try processorSeconds {
            for key in hits { found += try subject.countShards(with: key) }
        }
        precondition(found >= hits.count, "every block is found")
        var generator = SeededGenerator(seed: 99)
        let misses = (0..<500_000).map { _ in generator.next() }
        let missSeconds = try processorSeconds {
            for key in misses { found -= try subject.countShards(with: key) }
        }
        subject.endReading()
        let singleSeconds = try processorSeconds {
            for key in hits.prefix(100_000) { found -= try subject.countShards(with: key) }
        }
        return [
            Figure(
                name: "microseconds to add a shard",
                value: building * 1e6 / Double(workload.shardCount)),
            Figure(
                name: "file bytes per block",
                value: Double(try subject.fileByteCount()) / Double(workload.totalCount)),
            Figure(
                name: "microseconds to find a block", value: hitSeconds * 1e6 / Double(hits.count)),
            Figure(
                name: "microseconds to find a block, each in its own transaction",
                value: singleSeconds * 1e6 / 100_000),
            Figure(
                name: "microseconds to miss a block",
                value: missSeconds * 1e6 / Double(misses.count)),
        ]
    }

    static func short(_ number: Double) -> String {
        number >= 100 ? String(Int(number.rounded())) : String((number * 100).rounded() / 100)
    }
}

protocol Subject {
    func add(_ serial: UInt32, _ sortedKeys: [UInt64]) throws
    func endBuilding() throws
    func endReading()
    func countShards(with key: UInt64) throws -> Int
    func fileByteCount() throws -> Int
}

/// The same keys in every run.
struct Workload {
    let shardCount: UInt32
    let blockCount: Int

    var totalCount: Int { Int(shardCount) * blockCount }

    func key(_ index: Int, of serial: UInt32) -> UInt64 {
        var generator = SeededGenerator(seed: UInt64(serial) << 32 | UInt64(index))
        return generator.next()
    }

    func sortedKeys(of serial: UInt32) -> [UInt64] {
        (0..<blockCount).map { key($0, of: serial) }.sorted()
    }

    func randomKeys(_ count: Int) -> [UInt64] {
        var generator = SeededGenerator(seed: 7)
        return (0..<count).map { _ in
            let serial = UInt32(generator.next() % UInt64(shardCount))
            return key(Int(generator.next() % UInt64(blockCount)), of: serial)
        }
    }
}

final class CatalogueSubject: Subject {
    private let directory: String
    private let catalogue: BlockCatalogue

    init(_ directory: String) throws {
        self.directory = directory
        try FileSystem.makeDirectory(directory)
        catalogue = try BlockCatalogue.open(directory: directory, liveSerials: []).catalogue
    }

    func add(_ serial: UInt32, _ sortedKeys: [UInt64]) throws {
        try catalogue.add(serial, sortedKeys: sortedKeys)
        try catalogue.mergeIfNeeded()
    }

    func endBuilding() {}

    func endReading() {}

    func countShards(with key: UInt64) throws -> Int { try catalogue.candidates(for: key).count }

    func fileByteCount() throws -> Int { catalogue.statistics.fileByteCount }

    func printOwnFigures(_ workload: Workload) throws {
        print("runs: \(catalogue.statistics.runCount)")
        var missing = 0
        let opening = try BlockCatalogueBenchmark.processorSeconds {
            missing = try BlockCatalogue.open(
                directory: directory, liveSerials: Set(0..<workload.shardCount)
            ).missingSerials.count
        }
        print("milliseconds to open: \(BlockCatalogueBenchmark.short(opening * 1e3))")
        print("shards to add again after a crash: \(missing)")
    }
}
