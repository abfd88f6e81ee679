/// A modification time as UnixFS stores it.
package struct UnixFSTime: Sendable, Equatable {
    /// Seconds since 1970, negative before.
    package var seconds: Int64
    /// 0 to 999,999,999.
    package var nanoseconds: UInt32

    package init(seconds: Int64, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// The first instant of year 1, which the reference implementation takes for "no time".
    static let absent = UnixFSTime(seconds: -62_135_596_800)
}

/// What the source of an entry said about it. Whether it is stored is up to the options.
package struct EntryMetadata: Sendable, Equatable {
    /// Permission bits, `07777` at most; `nil` if the source gave none.
    package var mode: UInt32?
    package var mtime: UnixFSTime?

    package init(mode: UInt32? = nil, mtime: UnixFSTime? = nil) {
        self.mode = mode
        self.mtime = mtime
    }

    package static let none = EntryMetadata()

    var isEmpty: Bool { mode == nil && mtime == nil }
}

extension ImportOptions {
    /// What of an entry's metadata goes into its block, by the rules of Kubo's `add`.
    func storedMetadata(of kind: EntryKind, source: EntryMetadata) -> EntryMetadata {
        EntryMetadata(
            mode: storedMode(of: kind, source: source.mode), mtime: storedMtime(source.mtime))
    }

    private func storedMode(of kind: EntryKind, source: UInt32?) -> UInt32? {
        if kind == .symlink { return nil }
        if let customMode { return customMode & 0o777 }
        guard preserveMode, let source else { return nil }
        let bits = source & 0o7777
        // Go sees mode 0 of a file as "none"; a directory's type bit makes its mode never 0.
        return kind == .file && bits == 0 ? nil : bits
    }

    private func storedMtime(_ source: UnixFSTime?) -> UnixFSTime? {
        let time = customMtime ?? (preserveMtime ? source : nil)
        return time == .absent ? nil : time
    }
}
