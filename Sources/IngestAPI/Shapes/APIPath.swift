/// Paths of the HTTP API.
package enum APIPath {
    package static let add = "/add"
    package static let id = "/id"
    package static let version = "/version"
    package static let peers = "/peers"
    package static let allocations = "/allocations"
    package static let pins = "/pins"
    package static let shards = "/shards"
    package static let uploads = "/uploads"
    package static let ipfs = "/ipfs"
    package static let livez = "/livez"
    package static let readyz = "/readyz"
    package static let metrics = "/metrics"
    package static let ui = "/ui/"
    package static let kuboAdd = "/api/v0/add"

    package static func peer(_ id: String) -> String { "\(peers)/\(id)" }
    package static let plans = "/plans"
    package static func safeToStop(_ id: String) -> String { "\(peer(id))/safe-to-stop" }
    package static func drain(_ id: String) -> String { "\(peer(id))/drain" }
    package static func allocation(of cid: String) -> String { "\(allocations)/\(cid)" }
    package static func pin(of cid: String) -> String { "\(pins)/\(cid)" }
    package static func shardTable(of root: String) -> String { "\(shards)/\(root)" }
    package static func shardWhy(of shard: String) -> String { "\(shards)/\(shard)/why" }
    package static func upload(_ id: String) -> String { "\(uploads)/\(id)" }
    package static func content(of cid: String) -> String { "\(ipfs)/\(cid)" }
}

/// Media types that the API gives a meaning.
package enum APIField {
    package static let json = "application/json"
    /// ipfs-cluster and Kubo call their line-delimited JSON this.
    package static let jsonLines = "application/json"
    package static let problem = "application/problem+json"
    /// A piece of an upload that is gone on with, by the IETF draft.
    package static let partialUpload = "application/partial-upload"
}
