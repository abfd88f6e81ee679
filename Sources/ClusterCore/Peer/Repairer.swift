import Logging
import Multiformats
import Pinset
import ShardPlanner
import Synchronization

/// Gives shards new copies when peers are lost or drained, and ends uploads whose coordinator is lost.
///
/// Every peer looks after the shards of which it has the first live copy. A copy is made as an upload of
/// that one shard which ends without a root: so it is reserved, verified, receipted and counted as any
/// other, and what goes wrong half-way is cleaned up as with any other. Nothing is removed: a peer that
/// comes back brings its copies with it.
package final class Repairer: Sendable {
    /// Time between two looks for peers that are lost.
    private static let interval = Duration.seconds(1)
    /// Time between two looks for shards that lack copies, unless another peer was lost; and most shards
    /// taken from one.
    private static let shardInterval = Duration.seconds(5)
    private static let batchCount = 16
    /// Time until a shard is tried again that could not be copied.
    private static let failurePause = Duration.seconds(60)

    private let peer: LocalPeer
    private let client: PeerClient
    private let gracePeriod: Duration
    private let bytesPerSecond: Int?
    /// Time until a peer that a copy did not reach is tried again while there are others.
    private static let missPause = Duration.seconds(600)

    /// Peers that a copy did not reach, and when.
    private let missed = Mutex<[PeerID: ContinuousClock.Instant]>([:])

    /// - Parameters:
    ///   - gracePeriod: How long a peer must be down until it counts as lost.
    ///   - bytesPerSecond: The movement budget of this peer, at least 1; `nil` when it makes no copies.
    package init(
        peer: LocalPeer, client: PeerClient, gracePeriod: Duration, bytesPerSecond: Int?
    ) {
        precondition(bytesPerSecond ?? 1 >= 1, "without a budget nothing is copied")
        self.peer = peer
        self.client = client
        self.gracePeriod = gracePeriod
        self.bytesPerSecond = bytesPerSecond
    }

    /// Looks until the task is cancelled.
    package func run() async throws {
        var failed: [CID: ContinuousClock.Instant] = [:]
        // By this peer's own clock: clocks of others, which the state has, may be wrong.
        var downSince: [PeerID: ContinuousClock.Instant] = [:]
        var known: Set<PeerID> = []
        var nextLook = ContinuousClock.now + Self.shardInterval
        while true {
            try await Task.sleep(for: Self.interval)
            let down = try await peer.driver.read { state in
                state.members.filter { $0.status != .up }.map(\.peer)
            }
            let now = ContinuousClock.now
            downSince = Dictionary(
                uniqueKeysWithValues: down.map { ($0, downSince[$0] ?? now) })
            let lost = Set(downSince.filter { now - $0.value >= gracePeriod }.keys)
            guard now >= nextLook || !lost.isSubset(of: known) else { continue }
            nextLook = now + Self.shardInterval
            known = lost
            do {
                try await endUploads(ofLost: lost)
                if let bytesPerSecond {
                    try await copyShards(
                        lost: lost, failed: &failed, bytesPerSecond: bytesPerSecond)
                }
            } catch let error as CancellationError {
                throw error
            } catch {
                peer.log.warning(
                    "copies are still missing; it is tried again", metadata: ["error": "\(error)"])
            }
        }
    }

    /// One peer does it for all: what a lost coordinator reserved is of no more use.
    private func endUploads(ofLost lost: Set<PeerID>) async throws {
        let uploads = try await peer.driver.read { [id = peer.id] state in
            guard state.firstPeerUp == id else { return [UploadID]() }
            return state.allOpenUploads.filter { lost.contains($0.options.coordinator) }.map(\.id)
        }
        for upload in uploads {
            try await peer.perform(.abortUpload(upload, reason: "the peer that took it is lost"))
        }
    }

    /// - Parameter failed: Shards that could not be copied, and when.
    private func copyShards(
        lost: Set<PeerID>, failed: inout [CID: ContinuousClock.Instant], bytesPerSecond: Int
    ) async throws {
        let now = ContinuousClock.now
        failed = failed.filter { now - $0.value < Self.failurePause }
        let skipped = Set(failed.keys)
        let shards = try await peer.driver.read { [id = peer.id] state in
            state.shardsToCopy(from: id, lost: lost, skipping: skipped, limit: Self.batchCount)
        }
        for shard in shards {
            let able = try await peer.driver.read { state in
                state.peersForAnotherCopy(of: shard, lost: lost)
            }
            let targets = promising(among: able)
            // Room may have gone to the shards before.
            guard !targets.isEmpty else { continue }
            do {
                try await copy(shard, to: targets)
            } catch let error as CancellationError {
                throw error
            } catch {
                // The others must not wait for this one.
                failed[shard.description.cid] = now
                peer.log.warning(
                    "a shard got no new copy; it is tried again",
                    metadata: ["shard": "\(shard.description.cid)", "error": "\(error)"])
                continue
            }
            let seconds = Double(shard.description.fileByteCount) / Double(bytesPerSecond)
            try await Task.sleep(for: .seconds(seconds))
        }
    }

    /// Peers that no copy has missed a moment ago, where there are some: the emptiest one, which is asked
    /// first, may be the one that cannot take any.
    private func promising(among able: [PeerID]) -> [PeerID] {
        let missed = missed.withLock { missed in
            let now = ContinuousClock.now
            missed = missed.filter { now - $0.value < Self.missPause }
            return Set(missed.keys)
        }
        let promising = able.filter { !missed.contains($0) && !client.isSilent($0) }
        return promising.isEmpty ? able : promising
    }

    private func copy(_ shard: ShardRecord, to targets: [PeerID]) async throws {
        let upload = UploadID.random()
        peer.uploadBegins(upload)
        // Whatever is still open then is aborted.
        defer { peer.uploadEnded(upload) }
        let description = shard.description
        try await peer.perform(
            .openUpload(
                upload,
                UploadOptions(
                    name: "copy of \(description.cid)",
                    policy: try AllocationPolicy(userAllocations: targets),
                    shardLimitByteCount: nil, coordinator: peer.id)))
        let outcome = try await peer.perform(
            .reserveShard(upload, number: 0, byteCount: description.fileByteCount))
        guard case .reserved(let reserved) = outcome, let chosen = reserved.peers.first,
            let own = shard.copy(on: peer.id)
        else { preconditionFailure("a reservation has a peer, and this one a copy") }
        let (target, index) = try await peer.driver.read { state in
            (state.peer(chosen), state.appliedIndex)
        }
        let file = try await peer.workers.run { [store = peer.store] in
            try store.file(
                of: ShardCopyID(shard: description.cid, generation: own.generation))
        }
        guard let target else { throw RepairError.targetIsGone(chosen) }
        guard let file else { throw RepairError.noFile(description.cid) }
        let receipt: Receipt
        do {
            receipt = try await client.put(
                OutgoingShard(upload: upload, number: 0, description: description, file: file),
                allocationVersion: reserved.allocationVersion, minimumIndex: index, on: target)
        } catch let error as PeerError {
            if error.isOfPeer { missed.withLock { $0[chosen] = .now } }
            throw error
        }
        try await peer.settle(
            .sealShard(upload, number: 0, description, receipts: [receipt]))
        try await peer.perform(.abortUpload(upload, reason: UploadRecord.copyIsMade))
        peer.log.notice(
            "made another copy of a shard",
            metadata: ["shard": "\(description.cid)", "peer": "\(chosen)"])
    }
}

/// Why a shard got no new copy.
private enum RepairError: Error, CustomStringConvertible {
    case targetIsGone(PeerID)
    case noFile(CID)

    var description: String {
        switch self {
        case .targetIsGone(let peer): "peer \(peer) was removed meanwhile"
        case .noFile(let shard):
            "shard \(shard) should be on this peer's disk and is not; verify what is here"
        }
    }
}
