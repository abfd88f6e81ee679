import PosixIO
import Synchronization

/// Leads from a block's digest to the shards of this peer that may hold it.
///
/// Every shard file has a sorted index of its own; the catalogue says which of 10,000 to ask. It
/// holds one 12-byte entry per block: the digest's first 8 bytes and the shard's serial. The latest
/// shards' entries are in memory, all others in a handful of sorted run files (rfcs/0004).
///
/// The catalogue is derived: what it has lost is added again from the shards' indexes. So nothing
/// is synced when a shard is added, and a damaged run is removed rather than repaired.
///
/// Look-ups may come from any thread, also while shards are added, removed and merged. Memory does
/// not grow with the number of blocks, and by 12 bytes a shard.
package final class BlockCatalogue: Sendable {
    private let directory: String
    private let limits: BlockCatalogueLimits
    private let snapshot: Mutex<BlockCatalogueSnapshot>
    /// Held while a change is made, from reading the snapshot to replacing it.
    private let changing = Mutex<Void>(())
    /// Held during a merge, which others may overtake with changes of their own.
    private let merging = Mutex<Void>(())

    private init(
        directory: String, limits: BlockCatalogueLimits, _ snapshot: BlockCatalogueSnapshot
    ) {
        self.directory = directory
        self.limits = limits
        self.snapshot = Mutex(snapshot)
    }

    /// Opens the runs in a directory, checks every byte of them and removes those that are damaged
    /// or of another version.
    ///
    /// - Parameters:
    ///   - directory: Exists and belongs to this catalogue alone.
    ///   - liveSerials: The shards that are on this peer.
    /// - Returns: The catalogue, and the live shards it lacks, ascending, which the caller must add.
    package static func open(
        directory: String, liveSerials: Set<UInt32>, limits: BlockCatalogueLimits = .standard
    ) throws(IOError) -> (catalogue: BlockCatalogue, missingSerials: [UInt32]) {
        var snapshot = BlockCatalogueSnapshot()
        var found: [BlockCatalogueRun] = []
        for name in try Directory(directory).loadNames() {
            let path = directory + "/" + String(decoding: name, as: UTF8.self)
            guard let sequence = BlockCatalogueRun.sequence(ofFileNamed: name) else {
                if BlockCatalogueRun.isUnfinished(name) { try FileSystem.removeFile(path) }
                continue
            }
            snapshot.nextSequence = max(snapshot.nextSequence, sequence + 1)
            let filterByteCount =
                limits.filterByteLimit - found.reduce(0) { $0 + $1.filterByteCount }
            if let run = try BlockCatalogueRun.open(
                path, sequence: sequence, filterByteCount: filterByteCount)
            {
                found.append(run)
            } else {
                try FileSystem.removeFile(path)
            }
        }
        snapshot.nextSerial =
            (found.compactMap { $0.shards.last?.serial }.max()).map { $0 + 1 } ?? 0

        // A crash between writing a merged run and removing its sources leaves both; the merged run
        // has the higher sequence and covers all they have.
        var covered: Set<UInt32> = []
        for run in found.sorted(by: { $0.sequence > $1.sequence }) {
            let live = run.serials.filter(liveSerials.contains)
            if live.allSatisfy(covered.contains) {
                try FileSystem.removeFile(run.path)
            } else {
                covered.formUnion(live)
                snapshot.dead.formUnion(run.serials.filter { !liveSerials.contains($0) })
                snapshot.runs.append(run)
            }
        }
        snapshot.sortRuns()
        return (
            BlockCatalogue(directory: directory, limits: limits, snapshot),
            liveSerials.subtracting(covered).sorted()
        )
    }

    /// A serial greater than all the catalogue has entries of, live or dead.
    package var nextSerial: UInt32 { snapshot.withLock(\.nextSerial) }

    /// Figures for metrics.
    package var statistics: BlockCatalogueStatistics {
        let snapshot = snapshot.withLock { $0 }
        return BlockCatalogueStatistics(
            runCount: snapshot.runs.count,
            entryCount: snapshot.runs.reduce(snapshot.recent.count) { $0 + $1.entryCount },
            fileByteCount: snapshot.runs.reduce(0) { $0 + $1.fileByteCount },
            recentEntryCount: snapshot.recent.count, deadSerialCount: snapshot.dead.count)
    }

    /// The shards that may hold a block, ascending.
    ///
    /// A shard without the block is named only if it holds another whose digest begins with the same
    /// 64 bits; the shard's own index tells. A live shard with the block is always named.
    ///
    /// - Parameter digestPrefix: The digest's first 8 bytes, big-endian.
    package func candidates(for digestPrefix: UInt64) throws(IOError) -> [UInt32] {
        let snapshot = snapshot.withLock { $0 }
        var serials: [UInt32] = []
        snapshot.recent.appendSerials(for: digestPrefix, to: &serials)
        for run in snapshot.runs { try run.appendSerials(for: digestPrefix, to: &serials) }
        if serials.count > 1 {
            serials.sort()
            var kept = 1
            for index in 1..<serials.count where serials[index] != serials[kept - 1] {
                serials[kept] = serials[index]
                kept += 1
            }
            serials.removeLast(serials.count - kept)
        }
        if !snapshot.dead.isEmpty { serials.removeAll(where: snapshot.dead.contains) }
        return serials
    }

    // MARK: Changes

    /// Adds a shard. One that is there already changes nothing.
    ///
    /// - Parameters:
    ///   - serial: Stands for the same blocks for ever; after a removal it may come back with them.
    ///   - sortedKeys: The first 8 bytes of all its digests, ascending; equal ones are fine.
    /// - Throws: When the memory part is full and cannot be written. The shard is not added then.
    package func add(_ serial: UInt32, sortedKeys: some Sequence<UInt64>) throws {
        var keys = sortedKeys.makeIterator()
        try add(serial) { keys.next() }
    }

    /// Adds a shard whose keys are too many for an array.
    ///
    /// - Parameter nextKey: Returns the keys in ascending order, then `nil`.
    package func add(_ serial: UInt32, nextKey: () throws -> UInt64?) throws {
        try changing.withLock { _ in
            var next = snapshot.withLock { $0 }
            guard next.dead.contains(serial) || !next.covers(serial) else { return }
            var keys: [UInt64] = []
            while keys.count < limits.memoryEntryLimit, let key = try nextKey() { keys.append(key) }
            if keys.count < limits.memoryEntryLimit {
                next.recent.add(serial, sortedKeys: keys)
            } else {
                let writer = try makeWriter(next, expectedEntryCount: keys.count * 2)
                for key in keys { try writer.append(key, serial) }
                while let key = try nextKey() { try writer.append(key, serial) }
                let shard = BlockCatalogueShard(
                    serial: serial, entryCount: UInt32(writer.entryCount))
                next.append(try writer.finish(shards: [shard], sequence: next.nextSequence))
            }
            next.dead.remove(serial)
            next.nextSerial = max(next.nextSerial, serial + 1)
            if next.recent.count >= limits.memoryEntryLimit
                || next.recent.shards.count >= limits.memoryShardLimit
            {
                try writeRecent(&next)
            }
            snapshot.withLock { $0 = next }
        }
        if snapshot.withLock(\.runs.count) >= limits.runLimit {
            // The shard is in. A merge that fails leaves all as it is, and the next add tries again.
            _ = try? mergeIfNeeded()
        }
    }

    /// Takes a shard out. Its entries go when their runs are merged.
    package func remove(_ serial: UInt32) {
        changing.withLock { _ in
            var next = snapshot.withLock { $0 }
            next.recent.remove(serial)
            if next.runs.contains(where: { $0.covers(serial) }) { next.dead.insert(serial) }
            snapshot.withLock { $0 = next }
        }
    }

    /// Writes what is only in memory, so that the next start has nothing to add. Optional.
    package func flush() throws(IOError) {
        try changing.withLock { _ throws(IOError) in
            var next = snapshot.withLock { $0 }
            guard next.recent.count > 0 else { return }
            try writeRecent(&next)
            snapshot.withLock { $0 = next }
        }
    }

    private func writeRecent(_ next: inout BlockCatalogueSnapshot) throws(IOError) {
        let recent = next.recent
        let writer = try makeWriter(next, expectedEntryCount: recent.count)
        for index in 0..<recent.count {
            try writer.append(recent.keys[index], recent.keySerials[index])
        }
        let shards = recent.shards.sorted { $0.serial < $1.serial }
        next.append(try writer.finish(shards: shards, sequence: next.nextSequence))
        next.recent = BlockCatalogueMemory()
    }

    /// A writer for the run whose sequence number is next.
    private func makeWriter(
        _ next: BlockCatalogueSnapshot, expectedEntryCount: Int
    ) throws(IOError) -> BlockCatalogueRunWriter {
        try BlockCatalogueRunWriter(
            runPath(next.nextSequence), expectedEntryCount: expectedEntryCount,
            filterByteCount: limits.filterByteLimit - next.filterByteCount)
    }

    // MARK: Merging

    /// Merges runs until each is at least `growthFactor` times as long as all shorter ones together
    /// and less than half dead. Blocks; look-ups and changes go on meanwhile.
    ///
    /// - Returns: Whether there was something to do.
    @discardableResult
    package func mergeIfNeeded() throws(IOError) -> Bool {
        try merging.withLock { _ throws(IOError) in
            let (runs, before) = changing.withLock { _ in
                snapshot.withLock { snapshot in
                    defer { snapshot.nextSequence += 1 }  // taken before others write their files
                    let runs = snapshot.runsToMerge(growthFactor: limits.growthFactor)
                    return (runs, snapshot)
                }
            }
            guard !runs.isEmpty else { return false }
            let sequence = before.nextSequence
            let freed = runs.reduce(0) { $0 + $1.filterByteCount }
            let merged = try BlockCatalogueRun.merge(
                runs, dropping: before.dead, to: runPath(sequence), sequence: sequence,
                filterByteCount: limits.filterByteLimit - before.filterByteCount + freed)
            if merged != nil {
                // The sources may only go when their successor survives a power cut.
                try FileSystem.synchronizeDirectory(directory)
            }
            changing.withLock { _ in
                var next = snapshot.withLock { $0 }
                next.replace(runs, with: merged)
                snapshot.withLock { $0 = next }
            }
            for run in runs { try FileSystem.removeFile(run.path) }
            return true
        }
    }

    private func runPath(_ sequence: UInt64) -> String {
        directory + "/" + BlockCatalogueRun.fileName(sequence: sequence)
    }
}
