import Foundation

/// `Vectors/list-nodes.json`: list nodes and shard plans made by other programs.
struct ListNodeVectors: Decodable {
    struct KnownNode: Decodable {
        var bytes: String
        var cid: String
    }

    struct List: Decodable {
        var count: Int
        var root: String
    }

    struct Block: Decodable {
        var cid: String
        var size: Int
    }

    struct Shard: Decodable {
        var cid: String
        var blocks: Int
        var size: Int
        var nodeLength: Int
    }

    struct Plan: Decodable {
        var name: String
        var limit: Int
        var blocks: [Block]
        var shards: [Shard]
        var clusterDAG: String
    }

    var knownNode: KnownNode
    var lists: [List]
    var shardPlans: [Plan]

    static let all: ListNodeVectors = {
        let url = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Vectors/list-nodes.json")
        do {
            return try JSONDecoder().decode(Self.self, from: Data(contentsOf: url))
        } catch {
            fatalError("cannot read \(url.path()): \(error)")
        }
    }()
}
