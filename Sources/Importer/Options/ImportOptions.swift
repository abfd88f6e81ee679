import Chunker
import Multiformats

/// A named set of defaults that fixes every choice on the way from bytes to a root (IPIP-499).
package enum ImportProfile: String, Sendable, CaseIterable {
    /// What `ipfs add` does without options.
    // swift-format-ignore: AlwaysUseLowerCamelCase
    // The names of the specification.
    case unixfsV0_2015 = "unixfs-v0-2015"
    // swift-format-ignore: AlwaysUseLowerCamelCase
    case unixfsV1_2025 = "unixfs-v1-2025"

    /// Finds a profile by name; `legacy-cid-v0` is Kubo's other name for `unixfs-v0-2015`.
    package init(named name: String) throws(ImportOptionsError) {
        if name == "legacy-cid-v0" {
            self = .unixfsV0_2015
        } else if let known = ImportProfile(rawValue: name) {
            self = known
        } else {
            throw .unknown(
                option: "profile", value: name, allowed: ImportProfile.allCases.map(\.rawValue))
        }
    }
}

/// How the leaves of a file are joined to a tree.
package enum FileLayout: String, Sendable, CaseIterable {
    case balanced
    case trickle
}

/// What is compared with the threshold when a directory may become a HAMT.
package enum HAMTEstimation: String, Sendable, CaseIterable {
    /// The sum of the lengths of all names and binary CIDs.
    case links
    /// The exact length of the directory as one block.
    case block
    /// Nothing; only the number of entries counts.
    case disabled
}

/// When a directory becomes a HAMT, and of which shape.
package struct HAMTOptions: Sendable, Equatable {
    /// A directory larger than this many bytes is converted; `nil` never converts.
    package var thresholdByteCount: Int?
    package var estimation: HAMTEstimation
    /// Slots of one shard: a power of two from 8 to 1024.
    package var fanout: Int
}

/// Everything that decides which root an import gets. Equal options and equal input give equal
/// blocks.
package struct ImportOptions: Sendable, Equatable {
    package var profile: ImportProfile
    package var cidVersion: CID.Version
    package var hashFunction: HashFunction
    package var rawLeaves: Bool
    package var chunker: ChunkerSpec
    package var layout: FileLayout
    /// The most links of an inner node of a file.
    package var maxFileLinks: Int
    package var hamt: HAMTOptions
    /// A directory with more entries becomes a HAMT; 0 means no limit.
    package var maxDirectoryLinks: Int
    /// Blocks up to this many bytes are put into their CID; `nil` never does that.
    package var inlineLimit: Int?
    /// Puts everything into one more directory, which becomes the root.
    package var wrap: Bool
    package var preserveMode: Bool
    package var preserveMtime: Bool
    /// Permission bits for every file and directory instead of the source's.
    package var customMode: UInt32?
    /// Modification time for every entry instead of the source's.
    package var customMtime: UnixFSTime?
    package var includeEmptyDirectories: Bool

    /// Whether modes or times may enter the blocks. A file's first leaf then may be its root, so
    /// it has to wait until it is known whether a second one follows.
    package var storesMetadata: Bool {
        preserveMode || preserveMtime || customMode != nil || customMtime != nil
    }
}
