import ArgumentParser
import IngestAPI

/// Options of an add that decide about CIDs. They carry the names of Kubo's `add` and are checked
/// by the same code as a request's.
struct ImportFlags: ParsableArguments {
    @Option(help: "Set of defaults: unixfs-v1-2025, or unixfs-v0-2015 for the CIDs of older tools.")
    var profile = "unixfs-v1-2025"

    @Option(
        name: [.customShort("s"), .long],
        help: "How files are cut: size-N, rabin-MIN-AVG-MAX or buzhash.")
    var chunker: String?

    @Option(help: "Shape of a file's DAG: balanced or trickle.")
    var layout: String?

    @Flag(name: .shortAndLong, help: "The same as --layout trickle.")
    var trickle = false

    @Option(help: "Version of CIDs: 0 or 1.")
    var cidVersion: Int?

    @Flag(inversion: .prefixedNo, help: "Store chunks without a UnixFS frame.")
    var rawLeaves: Bool?

    @Option(help: "Hash function, such as sha2-256 or blake3.")
    var hash: String?

    @Flag(inversion: .prefixedNo, help: "Put small blocks into their CIDs.")
    var inline: Bool?

    @Option(help: "Most bytes of a block that is put into its CID.")
    var inlineLimit: Int?

    @Option(help: "Most links of a node of a file.")
    var maxFileLinks: Int?

    @Option(help: "Most links of a directory before it becomes a HAMT; 0 for no limit.")
    var maxDirectoryLinks: Int?

    @Option(help: "Slots of a HAMT's node: a power of two from 8 to 1024.")
    var maxHamtFanout: Int?

    @Option(help: "Bytes from which a directory becomes a HAMT.")
    var hamtDirectorySizeThreshold: Int?

    @Option(help: "How a directory's size is found: links, block or disabled.")
    var hamtDirectorySizeEstimation: String?

    @Flag(inversion: .prefixedNo, help: "Take in directories without entries.")
    var emptyDirs: Bool?

    @Flag(help: "Store the permissions of files and directories.")
    var preserveMode = false

    @Flag(help: "Store modification times.")
    var preserveMtime = false

    @Option(help: "Permissions to store for everything, in octal, such as 0644.")
    var mode: String?

    @Option(help: "Modification time to store for everything, in seconds since 1970.")
    var mtime: Int64?

    @Option(help: "Nanoseconds to go with --mtime.")
    var mtimeNsecs: Int64?

    /// The flags as a request's query has them.
    var queryItems: [QueryItem] {
        let values: [(String, String?)] = [
            ("profile", profile),
            ("chunker", chunker),
            ("layout", layout),
            ("trickle", trickle ? "true" : nil),
            ("cid-version", cidVersion.map(String.init)),
            ("raw-leaves", rawLeaves.map(String.init)),
            ("hash", hash),
            ("inline", inline.map(String.init)),
            ("inline-limit", inlineLimit.map(String.init)),
            ("max-file-links", maxFileLinks.map(String.init)),
            ("max-directory-links", maxDirectoryLinks.map(String.init)),
            ("max-hamt-fanout", maxHamtFanout.map(String.init)),
            ("hamt-directory-size-threshold", hamtDirectorySizeThreshold.map(String.init)),
            ("hamt-directory-size-estimation", hamtDirectorySizeEstimation),
            ("empty-dirs", emptyDirs.map(String.init)),
            ("preserve-mode", preserveMode ? "true" : nil),
            ("preserve-mtime", preserveMtime ? "true" : nil),
            ("mode", mode),
            ("mtime", mtime.map(String.init)),
            ("mtime-nsecs", mtimeNsecs.map(String.init)),
        ]
        return values.compactMap { name, value in
            value.map { QueryItem(name: name, value: $0) }
        }
    }
}

/// Options of an add that decide about the pin and its copies.
struct PinFlags: ParsableArguments {
    @Option(name: .shortAndLong, help: "Name of the pin.")
    var name: String?

    @Option(help: "Bytes of blocks that a shard stays below. Default: 104857600.")
    var shardSize: Int?

    @Option(
        name: [.customLong("rmin"), .customLong("replication-min")],
        help: "Copies without which the upload fails; -1 for one on every peer.")
    var replicationMin: Int?

    @Option(
        name: [.customLong("rmax"), .customLong("replication-max")],
        help: "Copies wanted; -1 for one on every peer.")
    var replicationMax: Int?

    @Option(help: "The only peers that may hold copies, as IDs between commas.")
    var allocations: String?

    @Option(help: "Span after which the pin expires, such as 72h.")
    var expireIn: String?

    @Option(help: ArgumentHelp("Metadata of the pin; may be repeated.", valueName: "key=value"))
    var metadata: [String] = []

    func queryItems() throws -> [QueryItem] {
        let values: [(String, String?)] = [
            ("name", name),
            ("shard-size", shardSize.map(String.init)),
            ("replication-min", replicationMin.map(String.init)),
            ("replication-max", replicationMax.map(String.init)),
            ("user-allocations", allocations),
            ("expire-in", expireIn),
        ]
        let pairs = try metadata.map { text in
            guard let separator = text.firstIndex(of: "="), separator > text.startIndex else {
                throw CommandOutcome(
                    .local, "--metadata \(text) is not a pair; write it as key=value")
            }
            return QueryItem(
                name: "meta-\(text[..<separator])",
                value: String(text[text.index(after: separator)...]))
        }
        return values.compactMap { name, value in
            value.map { QueryItem(name: name, value: $0) }
        } + pairs
    }
}
