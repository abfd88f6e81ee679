import Multiformats

/// Sealed shards by CID, in parts that grow each by itself.
///
/// A dictionary that is full moves all that it holds at once. In one dictionary that would be a
/// pause of seconds at millions of shards, and on all peers at the same command.
struct ShardTable: Sendable, Sequence {
    private static let partCount = 256

    /// By the first byte of the digest.
    private var parts: [[CID: ShardRecord]] = Array(repeating: [:], count: partCount)

    var count: Int { parts.reduce(0) { $0 + $1.count } }

    var keys: [CID] { parts.flatMap(\.keys) }

    subscript(cid: CID) -> ShardRecord? {
        get { parts[Self.part(of: cid)][cid] }
        _modify { yield &parts[Self.part(of: cid)][cid] }
    }

    mutating func removeValue(forKey cid: CID) -> ShardRecord? {
        parts[Self.part(of: cid)].removeValue(forKey: cid)
    }

    func makeIterator() -> FlattenSequence<[[CID: ShardRecord]]>.Iterator {
        parts.joined().makeIterator()
    }

    private static func part(of cid: CID) -> Int { cid.withDigest { Int($0.first ?? 0) } }
}
