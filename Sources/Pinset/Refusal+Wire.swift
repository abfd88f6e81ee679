import Multiformats
import ShardPlanner

/// A refusal in an outcome: its number, then its values in order. Numbers are never used again.
extension Refusal {
    var wireItems: [CBOR] {
        switch self {
        case .requestTooOld(let proposer, let from): [1.wire, proposer.wire, from.wire]
        case .alreadyApplied(let index): [2.wire, index.wire]
        case .unknownPeer(let peer): [3.wire, peer.wire]
        case .storageDiffers(let peer, let known, let given):
            [4.wire, peer.wire, known.wire, given.wire]
        case .peerHoldsShards(let peer, let copies, let reserved):
            [5.wire, peer.wire, copies.wire, reserved.wire]
        case .uploadExists(let id): [6.wire, id.wire]
        case .unknownUpload(let id): [7.wire, id.wire]
        case .uploadEnded(let id, let committed): [8.wire, id.wire, committed.wire]
        case .uploadRenewed(let id, let renewals): [9.wire, id.wire, renewals.wire]
        case .noSpace(let shortfall): [10.wire, shortfall.wire]
        case .tooLittleRoom(let needed, let copies, let free):
            [11.wire, needed.wire, copies.wire, free.wire]
        case .noSpaceToExtend(let peer, let needed, let free):
            [12.wire, peer.wire, needed.wire, free.wire]
        case .notPinned(let cid): [13.wire, cid.wire]
        case .badArgument(let reason): [14.wire, reason.wire]
        case .clusterDAGDiffers(let computed, let given): [15.wire, computed.wire, given.wire]
        default: shardWireItems
        }
    }

    private var shardWireItems: [CBOR] {
        switch self {
        case .shardNumber(let given, let expected): [16.wire, given.wire, expected.wire]
        case .unknownShard(let id, let number): [17.wire, id.wire, number.wire]
        case .shardAlreadySealed(let id, let number): [18.wire, id.wire, number.wire]
        case .shardInUpload(let cid, let number): [19.wire, cid.wire, number.wire]
        case .shardLargerThanReserved(let file, let reserved):
            [20.wire, file.wire, reserved.wire]
        case .shardDiffers(let cid): [21.wire, cid.wire]
        case .receiptFromStranger(let peer): [22.wire, peer.wire]
        case .receiptTwice(let peer): [23.wire, peer.wire]
        case .receiptOutdated(let peer, let generation, let dropped):
            [24.wire, peer.wire, generation.wire, dropped.wire]
        case .receiptSize(let peer, let count, let expected):
            [25.wire, peer.wire, count.wire, expected.wire]
        case .tooFewReceipts(let found, let required): [26.wire, found.wire, required.wire]
        case .uploadIncomplete(let number, let count): [27.wire, number.wire, count.wire]
        case .tooManyShards(let sealed, let count): [28.wire, sealed.wire, count.wire]
        case .tooFewCopies(let number, let found, let required):
            [29.wire, number.wire, found.wire, required.wire]
        default: preconditionFailure("every refusal has a number")
        }
    }

    init(from arguments: inout ArgumentReader) throws(WireError) {
        let number: Int = try arguments.take()
        switch number {
        case 1...5: self = try Self.memberRefusal(number, &arguments)
        case 6...9: self = try Self.uploadRefusal(number, &arguments)
        case 10: self = .noSpace(try arguments.take())
        case 11:
            let needed: Int = try arguments.take()
            let copies: Int = try arguments.take()
            self = .tooLittleRoom(
                neededByteCount: needed, copies: copies, freeByteCount: try arguments.take())
        case 12:
            let peer: PeerID = try arguments.take()
            let needed: Int = try arguments.take()
            self = .noSpaceToExtend(
                peer, neededByteCount: needed, freeByteCount: try arguments.take())
        case 13: self = .notPinned(try arguments.take())
        case 14: self = .badArgument(try arguments.take())
        case 15:
            let computed: CID = try arguments.take()
            self = .clusterDAGDiffers(computed: computed, given: try arguments.take())
        case 16...21: self = try Self.shardRefusal(number, &arguments)
        case 22...26: self = try Self.receiptRefusal(number, &arguments)
        case 27...29: self = try Self.commitRefusal(number, &arguments)
        default: throw .badValue(what: "refusal")
        }
    }

    private static func memberRefusal(
        _ number: Int, _ arguments: inout ArgumentReader
    ) throws(WireError) -> Refusal {
        switch number {
        case 1:
            let proposer: LogIndex = try arguments.take()
            return .requestTooOld(
                proposerIndex: proposer, rememberedFrom: try arguments.take())
        case 2: return .alreadyApplied(logIndex: try arguments.take())
        case 3: return .unknownPeer(try arguments.take())
        case 4:
            let peer: PeerID = try arguments.take()
            let known: StorageID = try arguments.take()
            return .storageDiffers(peer, known: known, given: try arguments.take())
        default:
            let peer: PeerID = try arguments.take()
            let copies: Int = try arguments.take()
            return .peerHoldsShards(
                peer, copies: copies, reservedByteCount: try arguments.take())
        }
    }

    private static func uploadRefusal(
        _ number: Int, _ arguments: inout ArgumentReader
    ) throws(WireError) -> Refusal {
        let id: UploadID = try arguments.take()
        switch number {
        case 6: return .uploadExists(id)
        case 7: return .unknownUpload(id)
        case 8: return .uploadEnded(id, committed: try arguments.take())
        default: return .uploadRenewed(id, renewals: try arguments.take())
        }
    }

    private static func shardRefusal(
        _ number: Int, _ arguments: inout ArgumentReader
    ) throws(WireError) -> Refusal {
        switch number {
        case 16:
            let given: Int = try arguments.take()
            return .shardNumber(given: given, expected: try arguments.take())
        case 17, 18:
            let id: UploadID = try arguments.take()
            let shard: Int = try arguments.take()
            return number == 17
                ? .unknownShard(id, number: shard) : .shardAlreadySealed(id, number: shard)
        case 19:
            let cid: CID = try arguments.take()
            return .shardInUpload(cid, number: try arguments.take())
        case 20:
            let file: Int = try arguments.take()
            return .shardLargerThanReserved(
                fileByteCount: file, reservedByteCount: try arguments.take())
        default: return .shardDiffers(try arguments.take())
        }
    }

    private static func receiptRefusal(
        _ number: Int, _ arguments: inout ArgumentReader
    ) throws(WireError) -> Refusal {
        if number == 26 {
            let found: Int = try arguments.take()
            return .tooFewReceipts(found: found, required: try arguments.take())
        }
        let peer: PeerID = try arguments.take()
        switch number {
        case 22: return .receiptFromStranger(peer)
        case 23: return .receiptTwice(peer)
        case 24:
            let generation: Int = try arguments.take()
            return .receiptOutdated(
                peer, generation: generation, droppedGeneration: try arguments.take())
        default:
            let count: Int = try arguments.take()
            return .receiptSize(peer, fileByteCount: count, expected: try arguments.take())
        }
    }

    private static func commitRefusal(
        _ number: Int, _ arguments: inout ArgumentReader
    ) throws(WireError) -> Refusal {
        let first: Int = try arguments.take()
        let second: Int = try arguments.take()
        switch number {
        case 27: return .uploadIncomplete(unsealedNumber: first, shardCount: second)
        case 28: return .tooManyShards(sealed: first, shardCount: second)
        default:
            return .tooFewCopies(number: first, found: second, required: try arguments.take())
        }
    }
}
