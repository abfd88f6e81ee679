import Multiformats

/// What an entry of a tree is.
package enum EntryKind: UInt8, Sendable, CustomStringConvertible {
    case file = 0
    case directory = 1
    case symlink = 2

    package var description: String {
        switch self {
        case .file: "file"
        case .directory: "directory"
        case .symlink: "symlink"
        }
    }
}

/// One leaf of a file, whose block the caller has already made.
package struct LeafReference: Equatable, Sendable {
    package var cid: CID
    /// Length of the block, in bytes; for an inlined leaf, of what its CID carries.
    package var blockByteCount: Int
    /// How many bytes of the file are in it.
    package var fileByteCount: Int

    package init(cid: CID, blockByteCount: Int, fileByteCount: Int) {
        self.cid = cid
        self.blockByteCount = blockByteCount
        self.fileByteCount = fileByteCount
    }
}

/// A finished file, directory or symlink.
package struct ImportedEntry: Sendable, Equatable {
    /// Names joined with "/", the top entry first; empty for a wrapping directory.
    package var path: [UInt8]
    package var cid: CID
    /// Lengths of all blocks of the DAG, a block linked twice counted twice (Tsize).
    package var cumulativeByteCount: UInt64
    /// Length of a file's content, in bytes; 0 for directories and symlinks.
    package var fileByteCount: UInt64
    package var kind: EntryKind

    package init(
        path: [UInt8], cid: CID, cumulativeByteCount: UInt64, fileByteCount: UInt64, kind: EntryKind
    ) {
        self.path = path
        self.cid = cid
        self.cumulativeByteCount = cumulativeByteCount
        self.fileByteCount = fileByteCount
        self.kind = kind
    }
}

/// What an import produces, in the order of the import.
package enum ImportOutput: Sendable {
    /// A block to store. Never one whose CID carries the data itself.
    case block(CID, [UInt8])
    /// A finished entry. A directory that got more entries later is reported again; its last
    /// report counts.
    case entry(ImportedEntry)
}
