import Logging
import Multiformats
import Pinset
import ShardPlanner

/// Brings one sealed shard to the peers it was allocated to, and to others when some fail, until the
/// state takes their receipts.
package struct ShardDelivery: Sendable {
    /// Rounds of allocation, sending and sealing; each follows a failure of peers or a removal of the
    /// same shard meanwhile.
    private static let roundLimit = 12

    let peer: LocalPeer
    /// `nil` where there are no other peers.
    let client: PeerClient?
    let upload: UploadID
    let number: Int
    /// The copy here must be found again by another process.
    let isResumable: Bool

    package init(
        peer: LocalPeer, client: PeerClient?, upload: UploadID, number: Int,
        isResumable: Bool = false
    ) {
        self.isResumable = isResumable
        self.peer = peer
        self.client = client
        self.upload = upload
        self.number = number
    }

    /// - Parameter own: The copy that is on this peer already, claimed; `staged` is its file then.
    /// - Returns: The copy on this peer, claimed; `nil` when the shard went to others alone.
    package func run(
        _ staged: StagedShard, own: ShardCopyID? = nil
    ) async throws -> ShardCopyID? {
        var progress = Progress(own: own)
        do {
            // Before the file may get another name. Without other peers nobody reads it.
            let outgoing = client == nil ? nil : try await open(staged)
            for _ in 0..<Self.roundLimit {
                if try await isSealed(staged, outgoing, &progress) {
                    if progress.own == nil { try await discard() }
                    return progress.own
                }
            }
            throw ShardDeliveryError.noRest(number: number, rounds: Self.roundLimit)
        } catch {
            if let own = progress.own { peer.leave(own, of: upload, number: number) }
            throw error
        }
    }

    private func open(_ staged: StagedShard) async throws -> OutgoingShard {
        let file = try await peer.workers.run { try staged.open() }
        return OutgoingShard(
            upload: upload, number: number, description: ShardDescription(staged), file: file)
    }

    // MARK: One round

    private struct Progress {
        var receipts: [PeerID: Receipt] = [:]
        /// The copy on this peer, claimed.
        var own: ShardCopyID?
        var failed: Set<PeerID> = []
        /// Peers that hold the shard already, by the state, are not sent it.
        var skipsHeld = true
    }

    /// Sends the shard where it has to go and proposes the receipts.
    ///
    /// - Returns: `false` when another round is needed.
    private func isSealed(
        _ staged: StagedShard, _ outgoing: OutgoingShard?, _ progress: inout Progress
    ) async throws -> Bool {
        let work = try await pendingWork(
            staged.cid, progress.receipts, skipsHeld: progress.skipsHeld)
        if try await avoidsSilent(work.others, progress.failed) { return false }
        if work.isHere { try await installOwn(staged, &progress) }
        let (arrived, lost) = await send(outgoing, work)
        progress.receipts.merge(arrived) { $1 }
        if !lost.isEmpty {
            progress.failed.formUnion(lost)
            if try await reallocate(excluding: progress.failed, progress.receipts) { return false }
        }
        do {
            // A copy here must not go while the state may come to list it.
            try await peer.settle(
                .sealShard(
                    upload, number: number, ShardDescription(staged),
                    receipts: progress.receipts.values.sorted { $0.peer < $1.peer }))
            return true
        } catch let error as CommandRefused {
            try await mend(&progress, after: error, staged)
            return false
        }
    }

    /// Takes back what the state did not accept; throws what another round does not help.
    private func mend(
        _ progress: inout Progress, after error: CommandRefused, _ staged: StagedShard
    ) async throws {
        switch error.refusal {
        case .receiptOutdated(peer.id, _, let dropped):
            // The same shard was unpinned between two steps: this is a new copy of it.
            guard let own = progress.own else { throw error }
            let renewed = try await peer.renewClaim(on: own, generation: dropped)
            progress.own = renewed
            progress.receipts[peer.id] = receipt(renewed, staged)
        case .receiptOutdated(let other, _, _), .receiptFromStranger(let other):
            progress.receipts[other] = nil
        case .tooFewReceipts where progress.skipsHeld: progress.skipsHeld = false
        default: throw error
        }
    }

    private struct Work {
        /// This peer is to hold the shard and does not yet.
        var isHere = false
        var others: [PeerRecord] = []
        var allocationVersion = 0
        var index = LogIndex.beforeFirst
    }

    /// What is allocated and not proved. A peer that holds the shard by the state need not get it again.
    private func pendingWork(
        _ shard: CID, _ receipts: [PeerID: Receipt], skipsHeld: Bool
    ) async throws -> Work {
        let proved = Set(receipts.keys)
        return try await peer.driver.read { [id = peer.id, upload, number] state in
            guard let reservation = state.reservation(upload, number: number) else {
                throw ShardDeliveryError.noReservation(number: number)
            }
            var work = Work(
                allocationVersion: reservation.allocationVersion, index: state.appliedIndex)
            for member in reservation.peers where !proved.contains(member) {
                if member == id {
                    work.isHere = true
                } else if let record = state.peer(member),
                    !skipsHeld || state.shard(shard)?.copy(on: member) == nil
                {
                    work.others.append(record)
                }
            }
            return work
        }
    }

    private func send(
        _ shard: OutgoingShard?, _ work: Work
    ) async -> (arrived: [PeerID: Receipt], lost: Set<PeerID>) {
        guard let client, let shard else { return ([:], Set(work.others.map(\.peer))) }
        return await withTaskGroup(of: (PeerID, Receipt?).self) { group in
            for other in work.others {
                group.addTask {
                    let receipt = await send(shard, work, to: other, through: client)
                    return (other.peer, receipt)
                }
            }
            var arrived: [PeerID: Receipt] = [:]
            var lost: Set<PeerID> = []
            for await (member, receipt) in group {
                if let receipt { arrived[member] = receipt } else { lost.insert(member) }
            }
            return (arrived, lost)
        }
    }

    /// - Returns: Nothing when it did not get there.
    private func send(
        _ shard: OutgoingShard, _ work: Work, to other: PeerRecord, through client: PeerClient
    ) async -> Receipt? {
        do {
            return try await client.put(
                shard, allocationVersion: work.allocationVersion, minimumIndex: work.index,
                on: other)
        } catch {
            if Task.isCancelled { return nil }
            peer.log.warning(
                "a shard did not reach a peer",
                metadata: ["shard": "\(shard.description.cid)", "error": "\(error)"])
            return nil
        }
    }

    /// Asks for other peers in place of those that kept another shard waiting a moment ago.
    ///
    /// - Returns: `false` when there are none of them, or no others to take their place: then they are
    ///   tried.
    private func avoidsSilent(_ others: [PeerRecord], _ failed: Set<PeerID>) async throws -> Bool {
        let silent = others.map(\.peer).filter { client?.isSilent($0) == true }
        guard !silent.isEmpty else { return false }
        do {
            try await peer.perform(
                .reallocateShard(
                    upload, number: number, excluding: failed.union(silent).sorted()))
            return true
        } catch let error as CommandRefused {
            guard case .noSpace = error.refusal else { throw error }
            return false
        }
    }

    /// Asks for other peers in place of those that failed.
    ///
    /// - Returns: `false` when there are none and the copies that arrived have to do.
    private func reallocate(
        excluding failed: Set<PeerID>, _ receipts: [PeerID: Receipt]
    ) async throws -> Bool {
        try Task.checkCancellation()
        do {
            try await peer.perform(
                .reallocateShard(upload, number: number, excluding: failed.sorted()))
            return true
        } catch let error as CommandRefused {
            guard case .noSpace = error.refusal, !receipts.isEmpty else { throw error }
            return false
        }
    }

    // MARK: The copy here

    private func receipt(_ copy: ShardCopyID, _ staged: StagedShard) -> Receipt {
        Receipt(
            peer: peer.id, storageID: peer.storageID, generation: copy.generation,
            fileByteCount: staged.fileByteCount)
    }

    private func installOwn(_ staged: StagedShard, _ progress: inout Progress) async throws {
        if progress.own == nil {
            let copy = ShardCopyID(
                shard: staged.cid, generation: try await peer.generation(ofShard: staged.cid))
            if isResumable {
                try await peer.received.announce(upload, number: number, shard: staged.cid)
            }
            _ = try await peer.workers.run { [store = peer.store] in
                try store.install(staged, generation: copy.generation)
            }
            progress.own = copy
        }
        progress.receipts[peer.id] = progress.own.map { receipt($0, staged) }
    }

    /// Frees the spool.
    private func discard() async throws {
        try await peer.workers.run { [store = peer.store, upload, number] in
            try store.staging.remove(upload: upload.description, number: number)
        }
    }
}

/// Why a shard did not come to rest.
package enum ShardDeliveryError: Error, CustomStringConvertible {
    case noReservation(number: Int)
    case noRest(number: Int, rounds: Int)

    package var description: String {
        switch self {
        case .noReservation(let number):
            "shard \(number) has no reservation any more; the upload was ended by another peer"
        case .noRest(let number, let rounds):
            "shard \(number) found no peers that took it in \(rounds) rounds; send the upload again"
        }
    }
}

extension ShardDescription {
    fileprivate init(_ staged: StagedShard) {
        self.init(
            cid: staged.cid, blockCount: staged.blockCount,
            payloadByteCount: staged.payloadByteCount, fileByteCount: staged.fileByteCount,
            depth: staged.depth)
    }
}
