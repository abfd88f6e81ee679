import Multiformats
import ShardPlanner

/// The kinds of rows a state is saved as. Numbers are never used again.
package enum StateTable: UInt8, CaseIterable, Sendable {
    case header = 0
    case peer = 1
    case upload = 2
    /// Key: upload ID and shard number.
    case uploadShard = 3
    case shard = 4
    case root = 5
    /// Key: peer and shard.
    case drop = 6
    /// Key: log index.
    case request = 7

    /// The name in snapshots.
    package var name: String { String(describing: self) }
}

/// One saved piece of a state.
package struct StateRow: Equatable, Sendable {
    package var table: StateTable
    package var key: [UInt8]
    /// Canonical DAG-CBOR.
    package var value: [UInt8]

    package init(table: StateTable, key: [UInt8], value: [UInt8]) {
        self.table = table
        self.key = key
        self.value = value
    }
}

/// What to save after a command.
package enum RowChange: Equatable, Sendable {
    case upsert(StateRow)
    /// The row may never have been saved.
    case delete(StateTable, key: [UInt8])
}

struct DropKey {
    var peer: PeerID
    var shard: CID
}

/// Keys of rows that differ from what was last drained, in any order and some of them repeatedly:
/// the end of a large root changes many rows, each of them once.
struct DirtyRows: Sendable {
    var header = false
    var peers: Set<PeerID> = []
    var uploads: [UploadID] = []
    var entries: [ShardUse] = []
    var shards: [CID] = []
    var roots: [CID] = []
    var drops: [DropKey] = []
    var requests: [LogIndex] = []
}

/// Keys as bytes, each table's in an order that sorts as its values do.
enum RowKey {
    static let header: [UInt8] = []

    static func peer(_ peer: PeerID) -> [UInt8] { peer.publicKey }

    static func upload(_ id: UploadID) -> [UInt8] { id.bytes }

    static func entry(_ use: ShardUse) -> [UInt8] {
        use.upload.bytes + BigEndian.bytes(UInt32(use.number))
    }

    static func cid(_ cid: CID) -> [UInt8] { cid.bytes }

    static func drop(_ key: DropKey) -> [UInt8] { key.peer.publicKey + key.shard.bytes }

    static func request(_ logIndex: LogIndex) -> [UInt8] { BigEndian.bytes(logIndex.rawValue) }

    static func decodeCID(_ key: [UInt8]) throws(WireError) -> CID {
        do {
            return try CID(bytes: key)
        } catch {
            throw .badValue(what: "row key: \(error)")
        }
    }

    static func decodePeer(_ key: [UInt8]) throws(WireError) -> PeerID {
        try PeerID(wire: .bytes(key))
    }

    static func decodeUpload(_ key: [UInt8]) throws(WireError) -> UploadID {
        try UploadID(wire: .bytes(key))
    }

    static func decodeEntry(_ key: [UInt8]) throws(WireError) -> ShardUse {
        guard key.count == 20 else { throw .badValue(what: "row key of an upload's shard") }
        let id = try decodeUpload(Array(key.prefix(16)))
        return ShardUse(upload: id, number: Int(BigEndian.word(key.suffix(4))))
    }

    static func decodeDrop(_ key: [UInt8]) throws(WireError) -> DropKey {
        guard key.count > 32 else { throw .badValue(what: "row key of a drop") }
        return DropKey(
            peer: try decodePeer(Array(key.prefix(32))),
            shard: try decodeCID(Array(key.dropFirst(32))))
    }

    static func decodeRequest(_ key: [UInt8]) throws(WireError) -> LogIndex {
        guard key.count == 8 else { throw .badValue(what: "row key of a request") }
        return LogIndex(rawValue: BigEndian.word(key))
    }
}

extension StateRow {
    /// The index up to which the state has applied the log; of a header's row.
    package func appliedIndex() throws(WireError) -> LogIndex {
        guard table == .header, let index = try Wire.decode(value)["applied"]?.unsignedValue else {
            throw .badValue(what: "header row.applied")
        }
        return LogIndex(rawValue: index)
    }
}
