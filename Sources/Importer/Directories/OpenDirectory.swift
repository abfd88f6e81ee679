import Multiformats

/// A directory that still takes entries.
struct OpenDirectory {
    /// Tells it from all others of the import, also while it is closed.
    let identifier: UInt64
    let name: [UInt8]
    /// As the source gave it; implied directories have none.
    var metadata = EntryMetadata.none
    /// Whether anything below was sent, be it an empty directory that is left out.
    var hasSeenEntries = false
    var entries = DirectoryEntries()
    /// Names of directories below that are parked.
    var parkedChildren: Set<[UInt8]> = []
    /// What its parent has noted for it, if it was closed before.
    let noted: LinkMeasure?

    init(identifier: UInt64, name: [UInt8]) {
        self.identifier = identifier
        self.name = name
        noted = nil
    }

    init(reopening closed: ClosedDirectory, name: [UInt8]) {
        identifier = closed.identifier
        self.name = name
        metadata = closed.metadata
        hasSeenEntries = closed.hasSeenEntries
        entries = DirectoryEntries(closed)
        noted = LinkMeasure(
            nameByteCount: name.count, cidByteCount: closed.cidByteCount, tsize: closed.tsize)
    }

    func closed(as subtree: Subtree, lastSegment: UInt64?) -> ClosedDirectory {
        ClosedDirectory(
            identifier: identifier, metadata: metadata, hasSeenEntries: hasSeenEntries,
            totals: entries.totals, isSpilled: entries.isSpilled, lastSegment: lastSegment,
            cidByteCount: subtree.cid.byteCount, tsize: subtree.cumulativeByteCount)
    }
}
