import HTTPTypes

/// What a request asks for, by its method and path.
enum Route: Equatable, Sendable {
    case add
    case kuboAdd
    case identity
    case version
    case peers
    case joinPeer
    case removePeer(String)
    case drainPeer(String)
    case undrainPeer(String)
    case allocations
    case allocation(String)
    case pins
    case pin(String)
    case addPin(String)
    case removePin(String)
    case recoverPin(String)
    case shards
    case shardTable(String)
    case shardWhy(String)
    case upload(String)
    case uploads
    case openUpload
    case uploadLimits
    case appendToUpload(String)
    case abortUpload(String)
    case receipt(String)
    case content([[UInt8]])
    case plans
    case safeToStop(String)
    case stateDigest
    case alive
    case ready
    case metrics

    /// The paths with the methods each takes, for `Allow`.
    struct Match {
        var route: Route?
        var allowedMethods: [HTTPRequest.Method]
    }

    /// Finds the route; no allowed methods mean that there is no such path.
    static func match(_ method: HTTPRequest.Method, _ path: [[UInt8]]) -> Match {
        let words = path.map { String(decoding: $0, as: UTF8.self) }
        let table = routes(words, path)
        // A HEAD is a GET whose body is left out.
        let wanted = method == .head ? .get : method
        var allowed = table.map(\.0)
        if allowed.contains(.get) { allowed.append(.head) }
        return Match(route: table.first { $0.0 == wanted }?.1, allowedMethods: allowed)
    }

    private static func routes(
        _ words: [String], _ path: [[UInt8]]
    ) -> [(HTTPRequest.Method, Route)] {
        switch (words.first ?? "", words.count) {
        case ("add", 1): [(.post, .add)]
        case ("api", 3) where words[1...] == ["v0", "add"]: [(.post, .kuboAdd)]
        case ("id", 1): [(.get, .identity)]
        case ("version", 1): [(.get, .version)]
        case ("peers", 1): [(.get, .peers), (.post, .joinPeer)]
        case ("peers", 2): [(.delete, .removePeer(words[1]))]
        case ("peers", 3) where words[2] == "drain":
            [(.post, .drainPeer(words[1])), (.delete, .undrainPeer(words[1]))]
        case ("peers", 3) where words[2] == "safe-to-stop": [(.get, .safeToStop(words[1]))]
        case ("plans", 1): [(.post, .plans)]
        case ("allocations", 1): [(.get, .allocations)]
        case ("allocations", 2): [(.get, .allocation(words[1]))]
        case ("pins", 1): [(.get, .pins)]
        case ("pins", 2):
            [(.get, .pin(words[1])), (.post, .addPin(words[1])), (.delete, .removePin(words[1]))]
        case ("pins", 3) where words[2] == "recover": [(.post, .recoverPin(words[1]))]
        case ("pins", 3...): [(.post, .addPin(words[1...].joined(separator: "/")))]
        case ("shards", 1): [(.get, .shards)]
        case ("shards", 2): [(.get, .shardTable(words[1]))]
        case ("shards", 3) where words[2] == "why": [(.get, .shardWhy(words[1]))]
        case ("uploads", 1):
            [(.get, .uploads), (.post, .openUpload), (.options, .uploadLimits)]
        case ("uploads", 2):
            [
                (.get, .upload(words[1])), (.patch, .appendToUpload(words[1])),
                (.delete, .abortUpload(words[1])), (.options, .uploadLimits),
            ]
        case ("receipts", 2): [(.get, .receipt(words[1]))]
        case ("ipfs", 2...): [(.get, .content(Array(path[1...])))]
        case ("state", 2) where words[1] == "digest": [(.get, .stateDigest)]
        case ("livez", 1): [(.get, .alive)]
        case ("readyz", 1): [(.get, .ready)]
        case ("metrics", 1): [(.get, .metrics)]
        default: []
        }
    }

    /// Whether only a member of the cluster answers it; the rest is about this process alone.
    var needsMembership: Bool {
        switch self {
        case .alive, .metrics, .identity, .version, .stateDigest: false
        default: true
        }
    }

    /// What metrics call it: the path without what varies.
    var label: String {
        switch self {
        case .add: "/add"
        case .kuboAdd: "/api/v0/add"
        case .identity: "/id"
        case .version: "/version"
        case .peers, .joinPeer: "/peers"
        case .removePeer: "/peers/{id}"
        case .drainPeer, .undrainPeer: "/peers/{id}/drain"
        case .allocations: "/allocations"
        case .allocation: "/allocations/{cid}"
        case .pins: "/pins"
        case .pin, .addPin, .removePin: "/pins/{cid}"
        case .recoverPin: "/pins/{cid}/recover"
        case .shards: "/shards"
        case .shardTable: "/shards/{cid}"
        case .shardWhy: "/shards/{cid}/why"
        case .uploads, .openUpload, .uploadLimits: "/uploads"
        case .upload, .appendToUpload, .abortUpload: "/uploads/{id}"
        case .receipt: "/receipts/{cid}"
        case .content: "/ipfs/{cid}"
        case .plans: "/plans"
        case .safeToStop: "/peers/{id}/safe-to-stop"
        case .stateDigest: "/state/digest"
        case .alive: "/livez"
        case .ready: "/readyz"
        case .metrics: "/metrics"
        }
    }
}
