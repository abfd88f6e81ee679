import Multiformats

/// What a list of pins is filtered by and where its page begins.
package struct ListParameters: Equatable, Sendable {
    /// What the filter's words mean on a path.
    package enum Subject: Sendable {
        /// `GET /allocations`: the filter names kinds of pins.
        case allocations
        /// `GET /pins`: the filter names states of pins.
        case pins
    }

    package static let maximumLimit = 1_000_000
    /// CIDs that one request may name.
    package static let maximumCIDCount = 10_000

    /// Kinds that pass; all of them unless a filter says otherwise.
    package var kinds = Set(PinKind.allCases)
    /// States that pass; nil for all.
    package var states: Set<PinState>?
    /// The only CIDs wanted; empty for no restriction.
    package var cids: [CID] = []
    /// Only this peer's view.
    package var isLocal = false
    /// Most lines of the answer; nil for no limit.
    package var limit: Int?
    /// The page begins after this CID.
    package var after: CID?

    package init() {}

    /// - Throws: `ParameterError` for anything unknown or malformed.
    package init(parsing items: [QueryItem], for subject: Subject) throws(ParameterError) {
        var reader = try ParameterReader(items)
        var names = ["filter", "limit", "after"]
        limit = try reader.number("limit", in: 1...Self.maximumLimit)
        if let text = try reader.text("after") { after = try Self.cid(text, "after") }
        switch subject {
        case .allocations:
            let words = try reader.list("filter")
            if !words.isEmpty { kinds = try Self.kinds(words) }
        case .pins:
            names += ["local", "cids"]
            let words = try reader.list("filter")
            if !words.isEmpty { states = try Self.states(words) }
            isLocal = try reader.flag("local") ?? false
            let texts = try reader.list("cids")
            guard texts.count <= Self.maximumCIDCount else {
                throw .invalid(
                    name: "cids", value: "\(texts.count) CIDs",
                    expected: "at most \(Self.maximumCIDCount)")
            }
            for text in texts { cids.append(try Self.cid(text, "cids")) }
        }
        try reader.finish(known: names)
    }

    private static func kinds(_ words: [String]) throws(ParameterError) -> Set<PinKind> {
        var kinds: Set<PinKind> = []
        for word in words {
            if word == "all" { return Set(PinKind.allCases) }
            guard let kind = PinKind(rawValue: word) else {
                let known = PinKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid(name: "filter", value: word, expected: "all or some of \(known)")
            }
            kinds.insert(kind)
        }
        return kinds
    }

    private static func states(_ words: [String]) throws(ParameterError) -> Set<PinState>? {
        var states: Set<PinState> = []
        for word in words {
            switch word {
            case "all": return nil
            case "error": states.formUnion([.clusterError, .pinError, .unpinError])
            case "queued": states.formUnion([.pinQueued, .unpinQueued])
            default:
                guard let state = PinState(rawValue: word) else {
                    let known = PinState.allCases.map(\.rawValue).joined(separator: ", ")
                    throw .invalid(
                        name: "filter", value: word,
                        expected: "all or some of error, queued, \(known)")
                }
                states.insert(state)
            }
        }
        return states
    }

    private static func cid(_ text: String, _ name: String) throws(ParameterError) -> CID {
        do {
            return try CID(text)
        } catch {
            throw .invalid(name: name, value: text, expected: "a CID (\(error))")
        }
    }
}
