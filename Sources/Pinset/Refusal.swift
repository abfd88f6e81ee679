import Multiformats
import ShardPlanner

/// Why a command changed nothing, with the numbers and what to do.
package enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    case requestTooOld(proposerIndex: LogIndex, rememberedFrom: LogIndex)
    case alreadyApplied(logIndex: LogIndex)
    case unknownPeer(PeerID)
    case storageDiffers(PeerID, known: StorageID, given: StorageID)
    case peerHoldsShards(PeerID, copies: Int, reservedByteCount: Int)
    case uploadExists(UploadID)
    case unknownUpload(UploadID)
    case uploadEnded(UploadID, committed: Bool)
    case uploadRenewed(UploadID, renewals: Int)
    case noSpace(AllocationShortfall)
    case tooLittleRoom(neededByteCount: Int, copies: Int, freeByteCount: Int)
    case noSpaceToExtend(PeerID, neededByteCount: Int, freeByteCount: Int)
    case shardNumber(given: Int, expected: Int)
    case unknownShard(UploadID, number: Int)
    case shardAlreadySealed(UploadID, number: Int)
    case shardInUpload(CID, number: Int)
    case shardLargerThanReserved(fileByteCount: Int, reservedByteCount: Int)
    case shardDiffers(CID)
    case receiptFromStranger(PeerID)
    case receiptTwice(PeerID)
    case receiptOutdated(PeerID, generation: Int, droppedGeneration: Int)
    case receiptSize(PeerID, fileByteCount: Int, expected: Int)
    case tooFewReceipts(found: Int, required: Int)
    case uploadIncomplete(unsealedNumber: Int, shardCount: Int)
    case tooManyShards(sealed: Int, shardCount: Int)
    case tooFewCopies(number: Int, found: Int, required: Int)
    case clusterDAGDiffers(computed: CID, given: CID)
    case notPinned(CID)
    case badArgument(String)

    package var description: String {
        switch self {
        case .requestTooOld(let proposer, let from):
            "the request was made at log index \(proposer), requests are remembered from \(from) "
                + "on, so it may have been applied before; look whether it was, then ask again"
        case .alreadyApplied(let index): "log index \(index) has been applied before"
        case .unknownPeer(let peer): "peer \(peer) is not a member; let it join first"
        case .storageDiffers(let peer, let known, let given):
            "peer \(peer) is known with storage \(known), this is \(given); put the right data "
                + "directory back, or give the old one up with --replace-storage"
        case .peerHoldsShards(let peer, let copies, let reserved):
            "peer \(peer) still has shards (\(copies)) or reserved bytes (\(reserved)); drain it "
                + "first, or accept the loss of its copies"
        case .noSpace, .tooLittleRoom, .noSpaceToExtend: spaceDescription
        case .uploadExists, .unknownUpload, .uploadEnded, .uploadRenewed: uploadDescription
        case .receiptFromStranger, .receiptTwice, .receiptOutdated, .receiptSize, .tooFewReceipts:
            receiptDescription
        case .notPinned(let cid): "\(cid) is not a pinned root"
        case .badArgument(let reason): reason
        default: shardDescription
        }
    }

    private var spaceDescription: String {
        switch self {
        case .noSpace(let shortfall):
            AllocationError.tooFewPeersWithRoom(shortfall).description
        case .tooLittleRoom(let needed, let copies, let free):
            AllocationError.tooLittleRoom(
                neededByteCount: needed, copies: copies, freeByteCount: free
            ).description
        case .noSpaceToExtend(let peer, let needed, let free):
            "peer \(peer) has \(free) bytes free, the shard needs \(needed) more; free some "
                + "space, or move the shard to other peers"
        default: preconditionFailure("no refusal for space")
        }
    }

    private var uploadDescription: String {
        switch self {
        case .uploadExists(let id): "upload \(id) exists already; take another ID"
        case .unknownUpload(let id): "upload \(id) is not known; it may have ended long ago"
        case .uploadEnded(let id, let committed):
            "upload \(id) has ended: it was \(committed ? "committed" : "aborted"); open a new one"
        case .uploadRenewed(let id, let renewals):
            "upload \(id) was renewed, \(renewals) times by now, and goes on"
        default: preconditionFailure("no refusal for an upload")
        }
    }

    private var receiptDescription: String {
        switch self {
        case .receiptFromStranger(let peer):
            "peer \(peer) was not chosen for this shard; send it to the peers of its allocation"
        case .receiptTwice(let peer): "peer \(peer) gave two receipts"
        case .receiptOutdated(let peer, let generation, let dropped):
            "the receipt of peer \(peer) is of generation \(generation), the shard was dropped "
                + "there as \(dropped) since; send it again"
        case .receiptSize(let peer, let count, let expected):
            "peer \(peer) stored \(count) bytes of a shard of \(expected); send it again"
        case .tooFewReceipts(let found, let required):
            "copies on disk: \(found) of \(required) needed; send the shard to more peers"
        default: preconditionFailure("no refusal for a receipt")
        }
    }

    private var shardDescription: String {
        switch self {
        case .shardNumber(let given, let expected):
            "shard \(given) cannot be reserved, the next one is \(expected)"
        case .unknownShard(let id, let number):
            "upload \(id) has no shard \(number); reserve it first"
        case .shardAlreadySealed(let id, let number):
            "shard \(number) of upload \(id) is sealed already"
        case .shardInUpload(let cid, let number):
            "shard \(cid) is already number \(number) of the same upload"
        case .shardLargerThanReserved(let file, let reserved):
            "the shard has \(file) bytes, \(reserved) are reserved; extend the reservation first"
        case .shardDiffers(let cid):
            "shard \(cid) is known with other counts of blocks, bytes or levels"
        case .uploadIncomplete(let number, let count):
            "shard \(number) of \(count) is not sealed; seal it before the commit"
        case .tooManyShards(let sealed, let count):
            "\(sealed) shards are sealed, the commit names \(count)"
        case .tooFewCopies(let number, let found, let required):
            "copies left of shard \(number): \(found) of \(required) needed; upload again"
        case .clusterDAGDiffers(let computed, let given):
            "the cluster DAG of these shards is \(computed), not \(given)"
        default: preconditionFailure("no refusal for a shard")
        }
    }
}
