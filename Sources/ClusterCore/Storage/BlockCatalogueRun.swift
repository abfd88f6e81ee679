import Glibc
import PosixIO
import Spill

/// A shard as a run or the memory part knows it.
struct BlockCatalogueShard: Equatable, Sendable {
    let serial: UInt32
    /// Different keys it had when it was added.
    let entryCount: UInt32
}

/// A file of sorted catalogue entries that never changes. All numbers are big-endian:
///
///     0    "BLKCATLG"                              8 bytes
///     8    format version, 1                       4
///     12   number of shards                        4
///     16   number of entries                       8
///     24   XXH64 of all bytes from 40 on           8
///     32   XXH64 of bytes 0 to 31                  8
///     40   entries: key 8, serial 4                12 each, ascending, all different
///     ...  shards: serial 4, entries 4             8 each, ascending
final class BlockCatalogueRun: Sendable {
    let path: String
    let sequence: UInt64
    /// The shards whose entries are all here, ascending; some may have none.
    let shards: [BlockCatalogueShard]
    private let filter: BloomFilter?
    private let file: FileDescriptor
    private let run: SortedRun

    static let magic = Array("BLKCATLG".utf8)
    static let version: UInt32 = 1
    static let headerByteCount = 40
    static let layout = EntryLayout(entryByteCount: 12, keyByteCount: 12)
    static let shardByteCount = 8

    init(
        path: String, sequence: UInt64, file: FileDescriptor, run: SortedRun,
        shards: [BlockCatalogueShard], filter: BloomFilter?
    ) {
        self.path = path
        self.sequence = sequence
        self.file = file
        self.run = run
        self.shards = shards
        self.filter = filter
    }

    var entryCount: Int { run.entryCount }

    var serials: some Sequence<UInt32> { shards.lazy.map(\.serial) }

    /// Memory the filter takes.
    var filterByteCount: Int { filter?.byteCount ?? 0 }

    var fileByteCount: Int {
        BlockCatalogueRun.headerByteCount + entryCount * BlockCatalogueRun.layout.entryByteCount
            + shards.count * BlockCatalogueRun.shardByteCount
    }

    func entryCount(without dead: Set<UInt32>) -> Int {
        guard !dead.isEmpty else { return entryCount }
        return shards.reduce(entryCount) {
            dead.contains($1.serial) ? $0 - Int($1.entryCount) : $0
        }
    }

    func covers(_ serial: UInt32) -> Bool {
        var low = 0
        var high = shards.count
        while low < high {
            let middle = (low + high) / 2
            if shards[middle].serial < serial { low = middle + 1 } else { high = middle }
        }
        return low < shards.count && shards[low].serial == serial
    }

    func appendSerials(for key: UInt64, to found: inout [UInt32]) throws(IOError) {
        guard filter?.mayContain(key) ?? true else { return }
        do {
            try withUnsafeBytes(of: key.bigEndian) { key in
                try run.forEachEntry(withKey: key, in: file) { entry in
                    found.append(
                        UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
                }
            }
        } catch let error as IOError {
            // The descriptor may know the file by the name it had while it was written.
            throw IOError(error.operation, path, error.cause)
        } catch {
            preconditionFailure("a file descriptor throws IOError only: \(error)")
        }
    }

    // MARK: Names

    private static let prefix = "run-"
    private static let suffix = ".catalogue"
    private static let unfinishedSuffix = ".catalogue" + FileSystem.unfinishedSuffix

    static func fileName(sequence: UInt64) -> String {
        let digits = String(sequence, radix: 16)
        return prefix + String(repeating: "0", count: 16 - digits.count) + digits + suffix
    }

    /// The sequence number in a run's file name; `nil` for other names.
    static func sequence(ofFileNamed name: [UInt8]) -> UInt64? {
        let text = String(decoding: name, as: UTF8.self)
        guard text.hasPrefix(prefix), text.hasSuffix(suffix) else { return nil }
        let digits = text.dropFirst(prefix.count).dropLast(suffix.count)
        return UInt64(digits, radix: 16).flatMap { fileName(sequence: $0) == text ? $0 : nil }
    }

    static func isUnfinished(_ name: [UInt8]) -> Bool {
        let text = String(decoding: name, as: UTF8.self)
        return text.hasPrefix(prefix) && text.hasSuffix(unfinishedSuffix)
    }

    // MARK: Merging

    /// Writes the entries of several runs as one, durably, except those of dead shards.
    ///
    /// - Returns: `nil` if there are no live shards.
    static func merge(
        _ runs: [BlockCatalogueRun], dropping dead: Set<UInt32>, to path: String, sequence: UInt64,
        filterByteCount: Int
    ) throws(IOError) -> BlockCatalogueRun? {
        let shards = mergedShards(runs, dropping: dead)
        guard !shards.isEmpty else { return nil }
        do {
            let writer = try BlockCatalogueRunWriter(
                path, expectedEntryCount: shards.reduce(0) { $0 + Int($1.entryCount) },
                filterByteCount: filterByteCount)
            let cursors = try runs.map { try SortedRunCursor($0.run, in: $0.file) }
            try mergeSortedRuns(cursors, layout: layout) { entry in
                let serial = UInt32(
                    bigEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
                if dead.isEmpty || !dead.contains(serial) {
                    let key = UInt64(bigEndian: entry.loadUnaligned(as: UInt64.self))
                    try writer.append(key, serial)
                }
            }
            return try writer.finish(shards: shards, sequence: sequence, isDurable: true)
        } catch let error as IOError {
            throw error
        } catch {
            preconditionFailure("a file descriptor throws IOError only: \(error)")
        }
    }

    /// The live shards of several runs, each once.
    private static func mergedShards(
        _ runs: [BlockCatalogueRun], dropping dead: Set<UInt32>
    ) -> [BlockCatalogueShard] {
        var merged: [BlockCatalogueShard] = []
        let all = runs.flatMap(\.shards).sorted { $0.serial < $1.serial }
        for shard in all where !dead.contains(shard.serial) && shard.serial != merged.last?.serial {
            merged.append(shard)
        }
        return merged
    }
}
