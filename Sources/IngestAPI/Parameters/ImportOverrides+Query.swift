import Importer

/// Import options as query parameters: names of ipfs-cluster and Kubo, and ours for what Kubo keeps
/// in its configuration.
extension ImportOptions.Overrides {
    static let names = [
        "cid-version", "raw-leaves", "hash", "chunker", "layout", "max-file-links",
        "max-directory-links", "max-hamt-fanout", "hamt-directory-size-threshold",
        "hamt-directory-size-estimation", "inline", "inline-limit", "wrap-with-directory",
        "preserve-mode", "preserve-mtime", "mtime", "mtime-nsecs", "empty-dirs",
    ]

    /// Reads every parameter but `mode`, whose name ipfs-cluster uses too.
    mutating func read(_ reader: inout ParameterReader) throws(ParameterError) {
        cidVersion = try reader.number("cid-version")
        rawLeaves = try reader.flag("raw-leaves")
        hash = try reader.text("hash")
        chunker = try reader.text("chunker")
        layout = try reader.text("layout")
        maxFileLinks = try reader.number("max-file-links")
        maxDirectoryLinks = try reader.number("max-directory-links")
        hamtFanout = try reader.number("max-hamt-fanout")
        hamtThreshold = try reader.number("hamt-directory-size-threshold")
        hamtEstimation = try reader.text("hamt-directory-size-estimation")
        inline = try reader.flag("inline")
        inlineLimit = try reader.number("inline-limit")
        wrap = try reader.flag("wrap-with-directory")
        preserveMode = try reader.flag("preserve-mode")
        preserveMtime = try reader.flag("preserve-mtime")
        mtime = try reader.number("mtime")
        mtimeNanoseconds = try reader.number("mtime-nsecs")
        includeEmptyDirectories = try reader.flag("empty-dirs")
    }

    /// The options that are set, `mode` included.
    var queryItems: [QueryItem] {
        let values: [(String, String?)] = [
            ("cid-version", cidVersion?.description),
            ("raw-leaves", rawLeaves?.description),
            ("hash", hash),
            ("chunker", chunker),
            ("layout", layout),
            ("max-file-links", maxFileLinks?.description),
            ("max-directory-links", maxDirectoryLinks?.description),
            ("max-hamt-fanout", hamtFanout?.description),
            ("hamt-directory-size-threshold", hamtThreshold?.description),
            ("hamt-directory-size-estimation", hamtEstimation),
            ("inline", inline?.description),
            ("inline-limit", inlineLimit?.description),
            ("wrap-with-directory", wrap?.description),
            ("preserve-mode", preserveMode?.description),
            ("preserve-mtime", preserveMtime?.description),
            ("mode", mode.map { "0" + String($0, radix: 8) }),
            ("mtime", mtime?.description),
            ("mtime-nsecs", mtimeNanoseconds?.description),
            ("empty-dirs", includeEmptyDirectories?.description),
        ]
        return values.compactMap { name, value in value.map { QueryItem(name: name, value: $0) } }
    }
}
