import Multiformats

/// The sizes of a directory that decide whether it becomes a HAMT, kept up to date entry by entry.
struct DirectoryTotals: Equatable {
    var entryCount = 0
    /// Lengths of all names and binary CIDs.
    var nameAndCIDByteCount = 0
    /// Lengths of all links in the form they have in a block.
    var linkByteCount = 0

    mutating func add(_ link: LinkMeasure) {
        entryCount += 1
        nameAndCIDByteCount += link.nameByteCount + link.cidByteCount
        linkByteCount += Self.linkByteCount(link)
    }

    mutating func remove(_ link: LinkMeasure) {
        entryCount -= 1
        nameAndCIDByteCount -= link.nameByteCount + link.cidByteCount
        linkByteCount -= Self.linkByteCount(link)
    }

    private static func linkByteCount(_ link: LinkMeasure) -> Int {
        DagPB.linkByteCount(
            cidByteCount: link.cidByteCount, nameByteCount: link.nameByteCount,
            tsize: link.tsize)
    }

    /// Whether a directory of these sizes becomes a HAMT (Kubo 0.40: strictly above a limit).
    ///
    /// - Parameter path: Of the directory, for the error.
    /// - Throws: `tooManyEntries` when it would have to, but the options switch HAMTs off.
    func becomesHAMT(
        _ options: ImportOptions, metadata: EntryMetadata, path: [UInt8]
    ) throws(ImportError) -> Bool {
        let limit = options.maxDirectoryLinks
        let hasTooManyLinks = limit > 0 && entryCount > limit
        guard let threshold = options.hamt.thresholdByteCount else {
            guard !hasTooManyLinks else {
                throw .tooManyEntries(path: path, entryCount: entryCount, limit: limit)
            }
            return false
        }
        guard entryCount > 0 else { return false }
        switch options.hamt.estimation {
        case .links: return hasTooManyLinks || nameAndCIDByteCount > threshold
        case .block:
            let blockByteCount = UnixFSEncoding.directoryBlockByteCount(
                linkByteCount: linkByteCount, metadata: metadata)
            return hasTooManyLinks || blockByteCount > threshold
        case .disabled: return hasTooManyLinks
        }
    }
}
