import Importer

/// The query parameters of `POST /add` and of `POST /api/v0/add`.
///
/// Both paths take the union of ipfs-cluster's names, Kubo's names and ours. Kubo's `mode` (octal
/// permission bits) and ipfs-cluster's (`recursive` or `direct`) share a name; the value tells.
package struct AddParameters: Equatable, Sendable {
    package enum Format: String, CaseIterable, Sendable {
        /// Files and directories to import.
        case unixfs
        /// One CAR file whose blocks are taken as they are.
        case car
    }

    package var format = Format.unixfs
    package var profile = ImportProfile.unixfsV0_2015
    /// What was asked for beyond the profile.
    package var overrides = ImportOptions.Overrides()
    package var pin = PinParameters()
    /// False asks for a single shard without size limit.
    package var isSharded = true
    /// ipfs-cluster's way to add first to the peer that was asked, and to pin afterwards. Where the
    /// copies end up is the same, and here they go there at once, so that nothing depends on it.
    package var prefersLocalPeer = false
    /// Answer with lines as entries are done; otherwise with one JSON array at the end.
    package var streamsOutput = true
    /// With `streamsOutput`: lines also tell how many bytes of a file have come.
    package var reportsProgress = false

    package init() {}

    /// The size limit of shards, in bytes; nil for none.
    package var shardByteLimit: Int? {
        isSharded ? pin.shardByteLimit : nil
    }

    /// Resolves profile and overrides.
    ///
    /// - Throws: `importOptions` with the first contradiction.
    package func importOptions() throws(ParameterError) -> ImportOptions {
        do {
            return try ImportOptions(profile: profile, overrides: overrides)
        } catch {
            throw .importOptions(error)
        }
    }

    /// Reads a query.
    ///
    /// - Parameters:
    ///   - items: The decoded query; see `QueryString.parse`.
    ///   - now: What `expire-in` counts from and `expire-at` is compared with.
    /// - Throws: The first parameter that is unknown, repeated, malformed, contradicted by another
    ///   or not supported. Import options are resolved too, so that nothing is left to refuse later.
    package init(parsing items: [QueryItem], now: WallTime) throws(ParameterError) {
        var reader = try ParameterReader(items)
        try refuseUnsupported(&reader)
        format = try reader.choice("format") ?? .unixfs
        try readMode(&reader)
        try readImportParameters(&reader)
        pin = try PinParameters(&reader, now: now)
        isSharded = try reader.flag("shard") ?? true
        prefersLocalPeer = try reader.flag("local") ?? false
        streamsOutput = try reader.flag("stream-channels") ?? true
        reportsProgress = try reader.flag("progress") ?? false
        try ignoreClientOptions(&reader)
        try reader.finish(known: Self.names)
        try refuseCARContradictions()
        _ = try importOptions()
    }

    /// The parameters that differ from the defaults, in an order that is always the same. Parsing
    /// them gives an equal value.
    package var queryItems: [QueryItem] {
        var items: [QueryItem] = []
        func add(_ name: String, _ value: String?) {
            if let value { items.append(QueryItem(name: name, value: value)) }
        }
        func add(_ name: String, _ value: Bool, default preset: Bool) {
            if value != preset { add(name, "\(value)") }
        }
        add("format", format == .unixfs ? nil : format.rawValue)
        add("profile", profile == .unixfsV0_2015 ? nil : profile.rawValue)
        items += overrides.queryItems + pin.queryItems
        add("shard", isSharded, default: true)
        add("local", prefersLocalPeer, default: false)
        add("stream-channels", streamsOutput, default: true)
        add("progress", reportsProgress, default: false)
        return items
    }

    // MARK: - Groups of parameters

    /// Every name the two paths take, for suggestions; `meta-KEY` comes on top.
    static let names =
        [
            "format", "profile", "mode", "shard", "local", "stream-channels", "progress", "no-pin",
            "nocopy", "only-hash", "pin", "to-files", "trickle", "cid-base",
        ] + ImportOptions.Overrides.names + PinParameters.names + clientOptions

    /// Options that act in the client, which sends them all the same. Walking directories,
    /// skipping hidden files and printing less are done before or after the request.
    private static let clientOptions = [
        "recursive", "hidden", "quiet", "quieter", "silent", "fscache", "dereference-args",
        "dereference-symlinks", "stdin-name", "ignore", "ignore-rules-path", "encoding", "offline",
        "timeout", "fast-provide-root", "fast-provide-dag", "fast-provide-wait", "arg",
    ]

    /// Switches among the client's options; their values are checked so that a slip is noticed.
    private static let clientFlags = [
        "recursive", "hidden", "quiet", "quieter", "silent", "fscache", "dereference-args",
        "dereference-symlinks", "offline", "fast-provide-root", "fast-provide-dag",
        "fast-provide-wait",
    ]

    private func ignoreClientOptions(_ reader: inout ParameterReader) throws(ParameterError) {
        for name in Self.clientFlags { _ = try reader.flag(name) }
        if let encoding = try reader.text("encoding"), encoding != "json" {
            throw .unsupported(name: "encoding", value: encoding, advice: "answers are JSON")
        }
        for name in Self.clientOptions { _ = try reader.text(name) }
    }

    private func refuseUnsupported(_ reader: inout ParameterReader) throws(ParameterError) {
        for (name, advice) in [
            ("no-pin", "what is stored is pinned; remove the pin afterwards"),
            ("nocopy", "the service keeps its own copy of every block"),
            ("only-hash", "use ingest-cli add --only-hash, which needs no service"),
        ] where try reader.flag(name) == true {
            throw .unsupported(name: name, value: "true", advice: advice)
        }
        if try reader.flag("pin") == false {
            throw .unsupported(
                name: "pin", value: "false",
                advice: "what is stored is pinned; remove the pin afterwards")
        }
        for (name, advice) in [
            ("to-files", "there is no mutable file system here"),
            ("cid-base", "CIDs are written in base58 (version 0) or base32 (version 1)"),
        ] {
            if let value = try reader.text(name) {
                throw .unsupported(name: name, value: value, advice: advice)
            }
        }
    }

    private mutating func readMode(_ reader: inout ParameterReader) throws(ParameterError) {
        var copy = reader
        switch try copy.text("mode") {
        case nil:
            return
        case "recursive":
            reader = copy
        case "direct":
            throw .unsupported(
                name: "mode", value: "direct", advice: "pins are recursive; leave mode out")
        default:
            overrides.mode = try reader.octal("mode")
        }
    }

    private mutating func readImportParameters(
        _ reader: inout ParameterReader
    ) throws(ParameterError) {
        if let name = try reader.text("profile") {
            do {
                profile = try ImportProfile(named: name)
            } catch {
                throw .importOptions(error)
            }
        }
        try overrides.read(&reader)
        guard let isTrickle = try reader.flag("trickle") else { return }
        let layout = isTrickle ? FileLayout.trickle : .balanced
        guard overrides.layout ?? layout.rawValue == layout.rawValue else {
            throw .contradiction(
                "trickle=\(isTrickle)", "layout=\(overrides.layout ?? "")",
                advice: "give one of them")
        }
        overrides.layout = layout.rawValue
    }

    private func refuseCARContradictions() throws(ParameterError) {
        guard format == .car, overrides.wrap == true else { return }
        throw .contradiction(
            "format=car", "wrap-with-directory=true",
            advice: "the blocks of a CAR are taken as they are; leave one of them out")
    }
}
