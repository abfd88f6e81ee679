import Multiformats
import ShardPlanner

/// A command on the wire is the DAG-CBOR list `[format version, number, fields]`.
///
/// The version comes first, so that a program can refuse what it cannot know. Numbers are never
/// used again for another command.
extension Command {
    /// The newest format this program reads and the one it writes.
    package static let formatVersion: UInt64 = 1

    /// The number of each command.
    enum Number: UInt64 {
        case joinPeer = 1
        case setCapacity = 2
        case setPeerStatus = 3
        case drainPeer = 4
        case undrainPeer = 5
        case forgetPeer = 6
        case openUpload = 16
        case reserveShard = 17
        case extendReservation = 18
        case reallocateShard = 19
        case sealShard = 20
        case commitUpload = 21
        case abortUpload = 22
        case renewUpload = 23
        case expireUpload = 24
        case forgetEndedUploads = 25
        case unpin = 32
        case expirePins = 33
        case confirmDropped = 48
    }

    /// The one canonical encoding.
    package var encoded: [UInt8] {
        let (number, fields) = numbered
        return CBOR.array([
            .unsigned(Self.formatVersion), .unsigned(number.rawValue), fields.wire,
        ]).encoded
    }

    /// Reads a command.
    ///
    /// - Throws: `newerVersion` for a format this program does not know yet, and one of the other
    ///   errors for everything else that `encoded` does not write.
    package init(decoding bytes: [UInt8]) throws(WireError) {
        guard let items = try Wire.decode(bytes).arrayValue,
            let version = items.first?.unsignedValue
        else { throw .badValue(what: "command") }
        guard version <= Self.formatVersion else {
            throw .newerVersion(what: "command", found: version, newest: Self.formatVersion)
        }
        guard version == Self.formatVersion, items.count == 3, let tag = items[1].unsignedValue
        else { throw .badValue(what: "command") }
        guard let number = Number(rawValue: tag) else {
            throw .unknownTag(what: "command", tag: tag)
        }
        var fields = try FieldReader(items[2], "command \(number)")
        switch number {
        case .joinPeer, .setCapacity, .setPeerStatus, .drainPeer, .undrainPeer, .forgetPeer,
            .confirmDropped:
            self = try Self.peerCommand(number, &fields)
        case .openUpload, .commitUpload, .abortUpload, .renewUpload, .expireUpload,
            .forgetEndedUploads:
            self = try Self.uploadCommand(number, &fields)
        case .reserveShard, .extendReservation, .reallocateShard, .sealShard:
            self = try Self.shardCommand(number, &fields)
        case .unpin: self = .unpin(try fields.take("root"))
        case .expirePins: self = .expirePins(at: try fields.take("at"))
        }
        try fields.finish()
    }

    // MARK: - Writing

    private var numbered: (Number, FieldWriter) {
        var fields = FieldWriter()
        let number: Number
        switch self {
        case .joinPeer(let join):
            number = .joinPeer
            join.put(into: &fields)
        case .setCapacity(let peer, let byteCount):
            number = .setCapacity
            fields.put("peer", peer)
            fields.put("bytes", byteCount)
        case .setPeerStatus(let peer, let status):
            number = .setPeerStatus
            fields.put("peer", peer)
            fields.put("downSince", status)
        case .drainPeer(let peer):
            number = .drainPeer
            fields.put("peer", peer)
        case .undrainPeer(let peer):
            number = .undrainPeer
            fields.put("peer", peer)
        case .forgetPeer(let peer, let acceptingLoss):
            number = .forgetPeer
            fields.put("peer", peer)
            fields.put("acceptLoss", acceptingLoss)
        case .confirmDropped(let peer, let shard, let generation):
            number = .confirmDropped
            fields.put("peer", peer)
            fields.put("shard", shard)
            fields.put("generation", generation)
        case .unpin(let root):
            number = .unpin
            fields.put("root", root)
        case .expirePins(let at):
            number = .expirePins
            fields.put("at", at)
        default:
            return uploadNumbered
        }
        return (number, fields)
    }

    private var uploadNumbered: (Number, FieldWriter) {
        var fields = FieldWriter()
        switch self {
        case .openUpload(let id, let options):
            fields.put("upload", id)
            fields.put("options", options)
            return (.openUpload, fields)
        case .reserveShard(let id, let number, let byteCount):
            fields.put("upload", id)
            fields.put("number", number)
            fields.put("bytes", byteCount)
            return (.reserveShard, fields)
        case .extendReservation(let id, let number, let byteCount):
            fields.put("upload", id)
            fields.put("number", number)
            fields.put("bytes", byteCount)
            return (.extendReservation, fields)
        case .reallocateShard(let id, let number, let excluding):
            fields.put("upload", id)
            fields.put("number", number)
            fields.put("excluding", excluding)
            return (.reallocateShard, fields)
        case .sealShard(let id, let number, let shard, let receipts):
            fields.put("upload", id)
            fields.put("number", number)
            fields.put("shard", shard)
            fields.put("receipts", receipts)
            return (.sealShard, fields)
        case .commitUpload(let id, let commit):
            fields.put("upload", id)
            commit.put(into: &fields)
            return (.commitUpload, fields)
        case .abortUpload(let id, let reason):
            fields.put("upload", id)
            fields.put("reason", reason)
            return (.abortUpload, fields)
        case .renewUpload(let id):
            fields.put("upload", id)
            return (.renewUpload, fields)
        case .expireUpload(let id, let renewals):
            fields.put("upload", id)
            fields.put("renewals", renewals)
            return (.expireUpload, fields)
        case .forgetEndedUploads(let before):
            fields.put("before", before)
            return (.forgetEndedUploads, fields)
        default: preconditionFailure("every command has a number")
        }
    }

    // MARK: - Reading

    private static func peerCommand(
        _ number: Number, _ fields: inout FieldReader
    ) throws(WireError) -> Command {
        if number == .joinPeer { return .joinPeer(try PeerJoin(from: &fields)) }
        let peer: PeerID = try fields.take("peer")
        switch number {
        case .setCapacity: return .setCapacity(peer, byteCount: try fields.takeCount("bytes"))
        case .setPeerStatus: return .setPeerStatus(peer, try fields.take("downSince"))
        case .drainPeer: return .drainPeer(peer)
        case .undrainPeer: return .undrainPeer(peer)
        case .forgetPeer: return .forgetPeer(peer, acceptingLoss: try fields.take("acceptLoss"))
        case .confirmDropped:
            let shard: CID = try fields.take("shard")
            return .confirmDropped(
                peer, shard: shard, generation: try fields.takeCount("generation"))
        default: preconditionFailure("no command for a peer")
        }
    }

    private static func uploadCommand(
        _ number: Number, _ fields: inout FieldReader
    ) throws(WireError) -> Command {
        if number == .forgetEndedUploads {
            return .forgetEndedUploads(endedBefore: try fields.take("before"))
        }
        let id: UploadID = try fields.take("upload")
        switch number {
        case .openUpload: return .openUpload(id, try fields.take("options"))
        case .commitUpload: return .commitUpload(id, try UploadCommit(from: &fields))
        case .abortUpload: return .abortUpload(id, reason: try fields.take("reason"))
        case .renewUpload: return .renewUpload(id)
        case .expireUpload: return .expireUpload(id, renewals: try fields.takeCount("renewals"))
        default: preconditionFailure("no command for an upload")
        }
    }

    private static func shardCommand(
        _ number: Number, _ fields: inout FieldReader
    ) throws(WireError) -> Command {
        let id: UploadID = try fields.take("upload")
        let shardNumber = try fields.takeCount("number")
        switch number {
        case .reserveShard:
            return .reserveShard(
                id, number: shardNumber, byteCount: try fields.takeCount("bytes"))
        case .extendReservation:
            return .extendReservation(
                id, number: shardNumber, byteCount: try fields.takeCount("bytes"))
        case .reallocateShard:
            return .reallocateShard(
                id, number: shardNumber, excluding: try fields.take("excluding"))
        case .sealShard:
            let shard: ShardDescription = try fields.take("shard")
            return .sealShard(
                id, number: shardNumber, shard, receipts: try fields.take("receipts"))
        default: preconditionFailure("no command for a shard")
        }
    }
}

extension PeerJoin {
    fileprivate func put(into fields: inout FieldWriter) {
        fields.put("peer", peer)
        fields.put("name", name)
        fields.put("addresses", addresses)
        fields.put("zone", optional: zone)
        fields.put("host", optional: host)
        fields.put("storage", storageID)
        fields.put("capacity", capacityByteCount)
        fields.put("replaceStorage", replacesStorage)
    }

    fileprivate init(from fields: inout FieldReader) throws(WireError) {
        peer = try fields.take("peer")
        name = try fields.take("name")
        addresses = try fields.take("addresses")
        zone = try fields.takeOptional("zone")
        host = try fields.takeOptional("host")
        storageID = try fields.take("storage")
        capacityByteCount = try fields.takeCount("capacity")
        replacesStorage = try fields.take("replaceStorage")
    }
}

extension UploadCommit {
    fileprivate func put(into fields: inout FieldWriter) {
        fields.put("root", root)
        fields.put("clusterDAG", clusterDAG)
        fields.put("shards", shardCount)
        fields.put("content", contentByteCount)
    }

    fileprivate init(from fields: inout FieldReader) throws(WireError) {
        root = try fields.take("root")
        clusterDAG = try fields.take("clusterDAG")
        shardCount = try fields.takeCount("shards")
        contentByteCount = try fields.takeCount("content")
    }
}
