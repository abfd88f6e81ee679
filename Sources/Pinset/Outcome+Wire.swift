import Multiformats
import ShardPlanner

/// Outcomes are remembered with their request IDs, so they have a lasting form too: a list of the
/// kind's number and its values.
extension Outcome: WireValue {
    var wire: CBOR {
        switch self {
        case .done: .array([0.wire])
        case .reserved(let shard):
            .array([
                1.wire, shard.peers.wire, shard.byteCount.wire, shard.allocationVersion.wire,
                .bytes(shard.inputDigest), shard.counts.wire,
            ])
        case .sealed(let shard):
            .array([2.wire, shard.holders.wire, shard.alreadyHeld.wire, shard.surplus.wire])
        case .committed(let upload): .array([3.wire, upload.root.wire, upload.replaced.wire])
        case .unpinned(let roots):
            .array([
                4.wire, roots.rootCount.wire, roots.droppedShardCount.wire,
                roots.droppedByteCount.wire,
            ])
        case .forgotten(let count): .array([5.wire, count.wire])
        case .refused(let refusal): .array([6.wire] + refusal.wireItems)
        }
    }

    init(wire: CBOR) throws(WireError) {
        guard let items = wire.arrayValue, let kind = items.first?.unsignedValue else {
            throw .badValue(what: "outcome")
        }
        var arguments = ArgumentReader(items.dropFirst(), "outcome \(kind)")
        switch kind {
        case 0: self = .done
        case 1:
            let peers: [PeerID] = try arguments.take()
            let byteCount: Int = try arguments.take()
            let version: Int = try arguments.take()
            let digest: WireBytes = try arguments.take()
            self = .reserved(
                ReservedShard(
                    peers: peers, byteCount: byteCount, allocationVersion: version,
                    inputDigest: digest.bytes, counts: try arguments.take()))
        case 2:
            let holders: [PeerID] = try arguments.take()
            let alreadyHeld: Bool = try arguments.take()
            self = .sealed(
                SealedShard(
                    holders: holders, alreadyHeld: alreadyHeld, surplus: try arguments.take()))
        case 3:
            let root: CID = try arguments.take()
            self = .committed(CommittedUpload(root: root, replaced: try arguments.take()))
        case 4:
            let count: Int = try arguments.take()
            let shards: Int = try arguments.take()
            self = .unpinned(
                UnpinnedRoots(
                    rootCount: count, droppedShardCount: shards,
                    droppedByteCount: try arguments.take()))
        case 5: self = .forgotten(count: try arguments.take())
        case 6: self = .refused(try Refusal(from: &arguments))
        default: throw .unknownTag(what: "outcome", tag: kind)
        }
        try arguments.finish()
    }
}

/// Bytes that are no list of numbers.
struct WireBytes: WireValue {
    let bytes: [UInt8]

    var wire: CBOR { .bytes(bytes) }

    init(wire: CBOR) throws(WireError) {
        guard let bytes = wire.bytesValue else { throw .badValue(what: "bytes") }
        self.bytes = bytes
    }
}
