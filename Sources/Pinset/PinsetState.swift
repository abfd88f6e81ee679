import Multiformats
import ShardPlanner

/// The replicated state as a value: one command in, the answer and the work it causes out.
///
/// Equal states and equal commands give equal states on every peer. Dictionaries serve look-ups
/// only; wherever order shows, keys are sorted. A state is a few large dictionaries, so its owner
/// applies commands to the one copy it has and answers queries from it: a second copy kept across
/// an `apply` makes that `apply` copy them.
package struct PinsetState: Sendable {
    /// The newest format of rows and snapshots this program reads and the one it writes.
    package static let formatVersion: UInt64 = 1

    /// The last command applied.
    package internal(set) var appliedIndex = LogIndex.beforeFirst
    /// The latest time a proposer wrote into the log.
    package internal(set) var logTime = LogTime.zero
    /// The placement rules in force.
    package internal(set) var rulesVersion = AllocationRules.version

    var peers: [PeerID: PeerRecord] = [:]
    var uploads: [UploadID: UploadRecord] = [:]
    /// Shards of open uploads and of roots; an ended upload's go to its root or away.
    var manifests: [UploadID: Manifest] = [:]
    var shards = ShardTable()
    var roots: [CID: RootRecord] = [:]
    var drops: [PeerID: [CID: DropRecord]] = [:]
    /// Number of the last drop.
    var lastGeneration = 0
    var requests: RequestMemory

    // Derived from the rest, never saved.

    /// Ascending.
    var sortedPeers: [PeerID] = []
    /// Ascending.
    var sortedRoots: [CID] = []
    /// Roots of each cluster DAG, ascending.
    var rootsOfClusterDAG: [CID: [CID]] = [:]
    var shardsOnPeer: [PeerID: Set<CID>] = [:]
    var openUploads: Set<UploadID> = []
    /// Ended uploads in the order they ended.
    var endedUploads: [UploadID] = []

    var dirty = DirtyRows()
    var effects = PendingEffects()

    /// An empty state.
    ///
    /// - Parameter rememberedRequestLimit: How many outcomes are kept for retries, at least 1. It
    ///   is part of the state and must be the same on all peers.
    package init(rememberedRequestLimit: Int = 65_536) {
        precondition(rememberedRequestLimit >= 1, "a retry needs its outcome")
        requests = RequestMemory(limit: rememberedRequestLimit)
        dirty.header = true
    }

    /// Applies one command.
    ///
    /// A request that was applied before gets its first answer again and changes nothing; so does
    /// a log index that is not above the last one. A refused command changes nothing but the
    /// applied index, the log time and the memory of requests.
    ///
    /// - Parameter logTime: The proposer's clock as recorded in the log.
    package mutating func apply(
        _ command: Command, requestID: RequestID, logTime proposedTime: LogTime, logIndex: LogIndex
    ) -> (Outcome, [Effect]) {
        guard logIndex > appliedIndex else {
            let known = requests.outcome(of: requestID)
            return (known ?? .refused(.alreadyApplied(logIndex: logIndex)), [])
        }
        appliedIndex = logIndex
        logTime = max(logTime, proposedTime)
        dirty.header = true
        if let settled = settledAnswer(to: requestID) { return (settled, []) }
        let outcome = perform(command)
        remember(outcome, of: requestID)
        return (outcome, effects.drain())
    }

    /// What every repetition of a request is answered with: its outcome if it was applied, a refusal
    /// if it may have been and is no longer remembered, `nil` if it was certainly not applied.
    package func settledAnswer(to requestID: RequestID) -> Outcome? {
        if let known = requests.outcome(of: requestID) { return known }
        guard requestID.proposerIndex < requests.forgottenThrough else { return nil }
        return .refused(
            .requestTooOld(
                proposerIndex: requestID.proposerIndex, rememberedFrom: requests.forgottenThrough))
    }

    private mutating func perform(_ command: Command) -> Outcome {
        do {
            switch command {
            case .joinPeer(let join): return try joinPeer(join)
            case .setCapacity(let peer, let byteCount):
                return try setCapacity(peer, byteCount: byteCount)
            case .setPeerStatus(let peer, let status): return try setStatus(peer, status)
            case .drainPeer(let peer): return try setDraining(peer, true)
            case .undrainPeer(let peer): return try setDraining(peer, false)
            case .forgetPeer(let peer, let acceptingLoss):
                return try forgetPeer(peer, acceptingLoss: acceptingLoss)
            case .openUpload(let id, let options): return try openUpload(id, options)
            case .reserveShard(let id, let number, let byteCount):
                return try reserveShard(id, number: number, byteCount: byteCount)
            case .extendReservation(let id, let number, let byteCount):
                return try extendReservation(id, number: number, byteCount: byteCount)
            case .reallocateShard(let id, let number, let excluding):
                return try reallocateShard(id, number: number, excluding: excluding)
            case .sealShard(let id, let number, let shard, let receipts):
                return try sealShard(id, number: number, shard, receipts: receipts)
            case .commitUpload(let id, let commit): return try commitUpload(id, commit)
            case .abortUpload(let id, let reason): return try abortUpload(id, reason: reason)
            case .renewUpload(let id): return try renewUpload(id)
            case .expireUpload(let id, let renewals):
                return try expireUpload(id, renewals: renewals)
            case .forgetEndedUploads(let before): return forgetEndedUploads(endedBefore: before)
            case .unpin(let root): return try unpin(root)
            case .expirePins(let time): return expirePins(at: time)
            case .confirmDropped(let peer, let shard, let generation):
                return try confirmDropped(peer, shard: shard, generation: generation)
            }
        } catch {
            return .refused(error)
        }
    }

    private mutating func remember(_ outcome: Outcome, of requestID: RequestID) {
        dirty.requests.append(appliedIndex)
        if let evicted = requests.remember(outcome, of: requestID, at: appliedIndex) {
            dirty.requests.append(evicted)
        }
    }
}

/// The shards of an open upload or of a root, by number without gaps.
struct Manifest: Equatable, Sendable {
    /// A reservation is large and short-lived: behind a reference it does not widen sealed ones.
    enum Entry: Equatable, Sendable {
        indirect case reserved(Reservation)
        case sealed(CID)
    }

    var policy: AllocationPolicy
    /// The visible root whose content this is; `nil` while the upload is open.
    var root: CID?
    var entries: [Entry] = []
}

/// What a command may have changed, collected while it is applied.
struct PendingEffects: Sendable {
    var peers: Set<PeerID> = []
    var endedUploads: Set<UploadID> = []
    var membership = false

    mutating func drain() -> [Effect] {
        defer { self = PendingEffects() }
        return (membership ? [Effect.membership] : [])
            + endedUploads.sorted().map { .uploadEnded($0) }
            + peers.sorted().map { .holdings(of: $0) }
    }
}
