/// What look-ups see. Replaced as a whole, so they never wait for a writer.
struct BlockCatalogueSnapshot: Sendable {
    /// Most entries first.
    var runs: [BlockCatalogueRun] = []
    /// Entries of the latest shards.
    var recent = BlockCatalogueMemory()
    /// Removed shards that may still have entries.
    var dead: Set<UInt32> = []
    var nextSequence: UInt64 = 0
    var nextSerial: UInt32 = 0

    func covers(_ serial: UInt32) -> Bool {
        recent.covers(serial) || runs.contains { $0.covers(serial) }
    }

    /// Memory the filters of all runs take.
    var filterByteCount: Int { runs.reduce(0) { $0 + $1.filterByteCount } }

    /// Adds the run of the sequence number that is next.
    mutating func append(_ run: BlockCatalogueRun) {
        runs.append(run)
        nextSequence += 1
        sortRuns()
    }

    mutating func sortRuns() {
        runs.sort { ($1.entryCount, $0.sequence) < ($0.entryCount, $1.sequence) }
    }

    /// The shorter end of the runs, from the longest one that breaks the rule.
    func runsToMerge(growthFactor: Int) -> [BlockCatalogueRun] {
        var shorterCount = 0
        var first = runs.count
        for index in runs.indices.reversed() {
            let liveCount = runs[index].entryCount(without: dead)
            let isTooShort = shorterCount > 0 && liveCount < growthFactor * shorterCount
            if isTooShort || liveCount * 2 < runs[index].entryCount { first = index }
            shorterCount += liveCount
        }
        return Array(runs[first...])
    }

    mutating func replace(
        _ sources: [BlockCatalogueRun], with merged: BlockCatalogueRun?
    ) {
        let sequences = sources.map(\.sequence)
        runs.removeAll { sequences.contains($0.sequence) }
        if let merged { runs.append(merged) }
        sortRuns()
        dead = dead.filter { serial in runs.contains { $0.covers(serial) } }
    }
}
