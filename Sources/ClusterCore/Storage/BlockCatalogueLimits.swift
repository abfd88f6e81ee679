import PosixIO

/// How much of a catalogue is kept in memory and how its runs are merged.
package struct BlockCatalogueLimits: Sendable {
    /// Entries in memory before they are written as a run.
    package var memoryEntryLimit: Int
    /// Shards in memory before they are written: what a start after a crash must read again.
    package var memoryShardLimit: Int
    /// A run is merged unless it is this many times as long as all shorter ones together.
    package var growthFactor: Int
    /// At this many runs `add` merges by itself.
    package var runLimit: Int
    /// Memory for the filters of all runs together; enough for ten million blocks at full strength.
    package var filterByteLimit: Int

    package init(
        memoryEntryLimit: Int, memoryShardLimit: Int, growthFactor: Int, runLimit: Int = 48,
        filterByteLimit: Int = 16 << 20
    ) {
        self.memoryEntryLimit = memoryEntryLimit
        self.memoryShardLimit = memoryShardLimit
        self.growthFactor = growthFactor
        self.runLimit = runLimit
        self.filterByteLimit = filterByteLimit
    }

    package static let standard = BlockCatalogueLimits(
        memoryEntryLimit: 32_768, memoryShardLimit: DiskSeam.limit(64, "CATALOGUE"), growthFactor: 4
    )
}

/// Figures of a `BlockCatalogue`.
package struct BlockCatalogueStatistics: Equatable, Sendable {
    package let runCount: Int
    /// Entries in runs and memory, dead ones included.
    package let entryCount: Int
    package let fileByteCount: Int
    package let recentEntryCount: Int
    package let deadSerialCount: Int
}
