/// What is kept of a closed directory, so that a later entry can open it again.
struct ClosedDirectory {
    var identifier: UInt64
    var metadata: EntryMetadata
    var hasSeenEntries: Bool
    var totals: DirectoryTotals
    var isSpilled: Bool
    /// `nil` for a directory without entries.
    var lastSegment: UInt64?
    /// What the directory has added to the totals of its parent, its name aside.
    var cidByteCount: Int
    var tsize: UInt64

    /// Length of the form it has in scratch space: eleven words.
    static let byteCount = 11 * 8

    private enum Flag {
        static let seenEntries: UInt64 = 1
        static let spilled: UInt64 = 2
        static let segment: UInt64 = 4
        static let mode: UInt64 = 8
        static let mtime: UInt64 = 16
    }

    var words: [UInt64] {
        var flags: UInt64 = 0
        if hasSeenEntries { flags |= Flag.seenEntries }
        if isSpilled { flags |= Flag.spilled }
        if lastSegment != nil { flags |= Flag.segment }
        if metadata.mode != nil { flags |= Flag.mode }
        if metadata.mtime != nil { flags |= Flag.mtime }
        return [
            identifier, flags, UInt64(metadata.mode ?? 0),
            UInt64(bitPattern: metadata.mtime?.seconds ?? 0),
            UInt64(metadata.mtime?.nanoseconds ?? 0), UInt64(totals.entryCount),
            UInt64(totals.nameAndCIDByteCount), UInt64(totals.linkByteCount), lastSegment ?? 0,
            UInt64(cidByteCount), tsize,
        ]
    }
}

extension ClosedDirectory {
    init(words: [UInt64]) {
        let flags = words[1]
        identifier = words[0]
        metadata = EntryMetadata(
            mode: flags & Flag.mode == 0 ? nil : UInt32(words[2]),
            mtime: flags & Flag.mtime == 0
                ? nil
                : UnixFSTime(
                    seconds: Int64(bitPattern: words[3]), nanoseconds: UInt32(words[4])))
        hasSeenEntries = flags & Flag.seenEntries != 0
        totals = DirectoryTotals(
            entryCount: Int(words[5]), nameAndCIDByteCount: Int(words[6]),
            linkByteCount: Int(words[7]))
        isSpilled = flags & Flag.spilled != 0
        lastSegment = flags & Flag.segment == 0 ? nil : words[8]
        cidByteCount = Int(words[9])
        tsize = words[10]
    }
}
