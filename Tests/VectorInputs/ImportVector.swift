/// An input, import options, and the root CID other programs gave for them.
package struct ImportVector: Sendable, CustomStringConvertible {
    package let name: String
    package let category: String
    /// The root CID was printed in a public repository, rather than computed by an oracle.
    package let isPublished: Bool
    package let opts: ImportVectorOptions
    package let expect: ImportExpectation
    private let inputTree: JSONTree

    package init(_ tree: JSONTree) {
        name = tree.member("name").text
        category = tree.member("category").text
        isPublished = tree.member("source").text == "published"
        opts = ImportVectorOptions(tree.member("opts"))
        expect = ImportExpectation(tree)
        inputTree = tree.member("input")
    }

    /// Made anew each time it is read, as some trees are large.
    package var input: VectorNode { VectorNode(inputTree) }

    package var description: String { name }

    /// Published and oracle vectors with inputs of up to about 8 MB.
    package static let all =
        (VectorFiles.vectors("import-published") + VectorFiles.vectors("import-oracle"))
        .map(ImportVector.init)

    /// Published vectors with inputs of 40 MB to 1 GiB, for optimised builds.
    package static let large = VectorFiles.vectors("import-published-large").map(ImportVector.init)
}

/// What was asked for; `nil` leaves an option to its default.
package struct ImportVectorOptions: Sendable {
    package var profile: String?
    package var cidVersion: Int?
    package var rawLeaves: Bool?
    package var chunker: String?
    package var layout: String?
    package var maxLinks: Int?
    package var hash: String?
    package var hamtThreshold: Int?
    package var hamtEstimation: String?
    package var hamtFanout: Int?
    package var maxDirectoryLinks: Int?
    package var wrap: Bool?
    package var inline: Bool?
    package var inlineLimit: Int?
    package var preserveMode: Bool?
    package var preserveMtime: Bool?
    package var mode: UInt32?
    package var mtime: Int64?
    package var mtimeNanoseconds: UInt32?
    package var noEmptyDirectories: Bool?

    package init() {}

    init(_ tree: JSONTree) {
        for (key, value) in tree.members {
            switch String(decoding: key, as: UTF8.self) {
            case "profile": profile = value.text
            case "cid_version": cidVersion = value.integer
            case "raw_leaves": rawLeaves = value.boolean
            case "chunker": chunker = value.text
            case "layout": layout = value.text
            case "max_links": maxLinks = value.integer
            case "hash": hash = value.text
            case "hamt_threshold": hamtThreshold = value.integer
            case "hamt_estimation": hamtEstimation = value.text
            case "hamt_fanout": hamtFanout = value.integer
            case "max_dir_links": maxDirectoryLinks = value.integer
            case "wrap": wrap = value.boolean
            case "inline": inline = value.boolean
            case "inline_limit": inlineLimit = value.integer
            case "preserve_mode": preserveMode = value.boolean
            case "preserve_mtime": preserveMtime = value.boolean
            case "mode": mode = UInt32(value.integer)
            case "mtime": mtime = Int64(value.integer)
            case "mtime_nsecs": mtimeNanoseconds = UInt32(value.integer)
            case "no_empty_dirs": noEmptyDirectories = value.boolean
            case let other: preconditionFailure("unknown import option \(other)")
            }
        }
    }
}

/// What an import gives: the `expect` and `derived` members together. CIDs are in Kubo's text form.
package struct ImportExpectation: Sendable {
    package let cid: String
    /// CIDs of paths below the root, with `/` between names.
    package let paths: [(path: [UInt8], cid: String)]?
    package let leaves: [String]?
    /// The CIDs of all tree entries, or of all blocks.
    package let cidSet: [String]?
    /// Cumulative size of the root.
    package let tsize: Int?
    package let rootByteCount: Int?
    package let rootBlock: [UInt8]?
    /// Distinct blocks, those in identity CIDs included, as in the next two.
    package let blockCount: Int?
    package let totalByteCount: Int?
    /// Blocks in emission order; siblings in the order of the input's entries.
    package let blocks: [(cid: String, byteCount: Int)]?
    /// Chunk lengths in order.
    package let leafSizes: [Int]?

    init(_ vector: JSONTree) {
        let expect = vector.member("expect")
        let derived = vector["derived"]
        func figure(_ key: String) -> JSONTree? { expect[key] ?? derived?[key] }
        cid = expect.member("cid").text
        paths = figure("paths")?.members.map { ($0.key, $0.value.text) }
        leaves = figure("leaves")?.texts
        cidSet = figure("cid_set")?.texts
        tsize = figure("tsize")?.integer
        rootByteCount = figure("block_len")?.integer
        rootBlock = figure("root_hex")?.bytesFromHex
        blockCount = figure("n_blocks")?.integer
        totalByteCount = figure("total_bytes")?.integer
        blocks = figure("blocks")?.elements.map { ($0.elements[0].text, $0.elements[1].integer) }
        leafSizes = figure("leaf_sizes")?.integers
    }
}
