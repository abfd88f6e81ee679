import Multiformats
import ShardPlanner

/// What peers propose and the log orders. On the wire each has a number of its own that is never
/// used again for another one; see `Command+Wire.swift`.
package enum Command: Equatable, Sendable {
    // Members

    /// Makes a peer a member, or changes what a member says of itself.
    case joinPeer(PeerJoin)
    /// Sets the bytes a peer lends. It may become over-committed by this, never by a reservation.
    case setCapacity(PeerID, byteCount: Int)
    case setPeerStatus(PeerID, PeerStatus)
    /// No new shards for a peer.
    case drainPeer(PeerID)
    case undrainPeer(PeerID)
    /// Ends a membership. Refused while the peer holds shards, unless their loss is accepted.
    case forgetPeer(PeerID, acceptingLoss: Bool)

    // Uploads

    case openUpload(UploadID, UploadOptions)
    /// Chooses peers for the upload's next shard and promises it `byteCount` file bytes on each.
    case reserveShard(UploadID, number: Int, byteCount: Int)
    /// Raises the promise to `byteCount` in all, on every chosen peer or on none.
    case extendReservation(UploadID, number: Int, byteCount: Int)
    /// Replaces peers that failed to take a shard.
    case reallocateShard(UploadID, number: Int, excluding: [PeerID])
    /// The shard is on the disks that the receipts name.
    case sealShard(UploadID, number: Int, ShardDescription, receipts: [Receipt])
    /// Makes the root visible, all at once.
    case commitUpload(UploadID, UploadCommit)
    /// Gives up an upload and all it reserved or sealed.
    case abortUpload(UploadID, reason: String)
    case renewUpload(UploadID)
    /// Aborts an upload that nobody renewed since `renewals` was read.
    case expireUpload(UploadID, renewals: Int)
    /// Drops what is remembered of uploads that ended before a log time.
    case forgetEndedUploads(endedBefore: LogTime)

    // Roots

    /// Ends a root and drops the shards that nobody else needs.
    case unpin(CID)
    /// Unpins the roots that expire at or before a log time.
    case expirePins(at: LogTime)

    // Copies

    /// A peer no longer has the copies of a shard that were dropped up to `generation`.
    case confirmDropped(PeerID, shard: CID, generation: Int)
}
