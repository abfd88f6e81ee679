import Multiformats
import ShardPlanner

/// Space promised to shards before their bytes exist.
extension PinsetState {
    mutating func reserveShard(
        _ id: UploadID, number: Int, byteCount: Int
    ) throws(Refusal) -> Outcome {
        let upload = try openRecord(id)
        let expected = manifests[id]?.entries.count ?? 0
        guard number == expected else { throw .shardNumber(given: number, expected: expected) }
        guard byteCount >= 1 else {
            throw .badArgument("a reservation of \(byteCount) bytes makes no sense")
        }
        let reservation = try place(
            AllocationRequest(
                upload: id, shardNumber: number, shardByteCount: byteCount,
                policy: upload.options.policy,
                atMilliseconds: logTime.millisecondsSinceEpoch),
            allocationVersion: 1)
        for peer in reservation.peers { updatePeer(peer) { $0.reservedByteCount += byteCount } }
        manifests[id]?.entries.append(.reserved(reservation))
        dirty.entries.append(ShardUse(upload: id, number: number))
        return .reserved(ReservedShard(reservation))
    }

    mutating func extendReservation(
        _ id: UploadID, number: Int, byteCount: Int
    ) throws(Refusal) -> Outcome {
        var reservation = try openReservation(id, number)
        let growth = byteCount - reservation.byteCount
        guard growth > 0 else { return .reserved(ReservedShard(reservation)) }
        for peer in reservation.peers {
            let free = peers[peer]?.freeByteCount ?? 0
            guard free >= growth else {
                throw .noSpaceToExtend(peer, neededByteCount: growth, freeByteCount: free)
            }
        }
        for peer in reservation.peers { updatePeer(peer) { $0.reservedByteCount += growth } }
        reservation.byteCount = byteCount
        setReservation(id, number, reservation)
        return .reserved(ReservedShard(reservation))
    }

    mutating func reallocateShard(
        _ id: UploadID, number: Int, excluding: [PeerID]
    ) throws(Refusal) -> Outcome {
        let upload = try openRecord(id)
        let former = try openReservation(id, number)
        let keeping = former.peers.filter { !excluding.contains($0) }
        let reservation = try place(
            AllocationRequest(
                upload: id, shardNumber: number, shardByteCount: former.byteCount,
                policy: upload.options.policy, keeping: keeping, excluding: excluding,
                atMilliseconds: logTime.millisecondsSinceEpoch),
            allocationVersion: former.allocationVersion + 1)
        for peer in former.peers where !keeping.contains(peer) {
            updatePeer(peer) { $0.reservedByteCount -= former.byteCount }
        }
        for peer in reservation.peers where !keeping.contains(peer) {
            updatePeer(peer) { $0.reservedByteCount += former.byteCount }
        }
        setReservation(id, number, reservation)
        return .reserved(ReservedShard(reservation))
    }

    /// The reservation of a shard that is not sealed yet.
    func openReservation(_ id: UploadID, _ number: Int) throws(Refusal) -> Reservation {
        _ = try openRecord(id)
        guard let manifest = manifests[id], manifest.entries.indices.contains(number) else {
            throw .unknownShard(id, number: number)
        }
        guard case .reserved(let reservation) = manifest.entries[number] else {
            throw .shardAlreadySealed(id, number: number)
        }
        return reservation
    }

    /// Gives back the reservations of an upload's shards from number `start` on.
    mutating func releaseReservations(_ id: UploadID, from start: Int) {
        guard let entries = manifests[id]?.entries else { return }
        for number in entries.indices.dropFirst(start) {
            guard case .reserved(let reservation) = entries[number] else { continue }
            giveBack(reservation)
            dirty.entries.append(ShardUse(upload: id, number: number))
        }
        manifests[id]?.entries.removeSubrange(min(start, entries.count)...)
    }

    mutating func giveBack(_ reservation: Reservation) {
        for peer in reservation.peers {
            updatePeer(peer) { $0.reservedByteCount -= reservation.byteCount }
        }
    }

    /// Every member as placement sees it, by peer ID.
    package var capacities: [PeerCapacity] { sortedPeers.compactMap { peers[$0]?.capacity } }

    private func place(
        _ request: AllocationRequest, allocationVersion: Int
    ) throws(Refusal) -> Reservation {
        let decision: AllocationDecision
        do {
            decision = try allocate(request, among: capacities)
        } catch {
            throw Refusal(error)
        }
        let kept = KeptDecision(
            logIndex: appliedIndex, logTime: logTime, upload: request.upload,
            shardNumber: request.shardNumber, shardByteCount: request.shardByteCount,
            policy: request.policy, keeping: request.keeping, excluding: request.excluding,
            chosen: decision.chosen, counts: decision.counts, inputDigest: decision.inputDigest,
            rulesVersion: decision.rulesVersion)
        return Reservation(
            byteCount: request.shardByteCount, peers: decision.chosen,
            allocationVersion: allocationVersion, decision: kept)
    }

    private mutating func setReservation(
        _ id: UploadID, _ number: Int, _ reservation: Reservation
    ) {
        manifests[id]?.entries[number] = .reserved(reservation)
        dirty.entries.append(ShardUse(upload: id, number: number))
    }
}
