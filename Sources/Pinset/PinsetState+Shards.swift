import Multiformats
import ShardPlanner

/// Sealed shards: their copies, who uses them, and what becomes of copies nobody needs.
extension PinsetState {
    mutating func sealShard(
        _ id: UploadID, number: Int, _ description: ShardDescription, receipts: [Receipt]
    ) throws(Refusal) -> Outcome {
        let reservation = try openReservation(id, number)
        try check(description, against: reservation, in: id)
        try check(receipts, of: description, against: reservation)
        guard let policy = manifests[id]?.policy else { throw .unknownUpload(id) }

        let former = shards[description.cid]
        let wanted = Replication(policy).stricter(than: former.map(Replication.init))
        let held = former?.copies ?? []
        let proven = Set(receipts.map(\.peer))
        let good = held.count { proven.contains($0.peer) || peers[$0.peer]?.isReliable == true }
        let fresh = receipts.filter { former?.copy(on: $0.peer) == nil }
        let missing = max(0, wanted.maximum - good)
        let ordered = distinctZonesFirst(fresh, besides: held.map(\.peer))
        let kept = ordered.prefix(missing)
        let required = policy.isEverywhere ? reservation.peers.count : policy.replicationMin
        guard good + kept.count >= required else {
            throw .tooFewReceipts(found: good + kept.count, required: required)
        }

        giveBack(reservation)
        var shard =
            former
            ?? ShardRecord(
                description: description, copies: [], replicationMin: 0, replicationMax: 0,
                decision: reservation.decision)
        if !kept.isEmpty { shard.decision = reservation.decision }
        shard.replicationMin = wanted.recordedMinimum
        shard.replicationMax = wanted.recordedMaximum
        shard.uses.append(ShardUse(upload: id, number: number))
        shards[description.cid] = shard
        for receipt in kept { addCopy(receipt, of: description.cid) }
        for receipt in receipts where !fresh.contains(receipt) {
            renewCopy(receipt, of: description.cid)
        }
        let surplus = ordered.dropFirst(missing)
        for receipt in surplus {
            drop(
                [makeDrop(of: description.cid, fileByteCount: receipt.fileByteCount)],
                on: receipt.peer)
        }
        manifests[id]?.entries[number] = .sealed(description.cid)
        dirty.shards.append(description.cid)
        dirty.entries.append(ShardUse(upload: id, number: number))
        return .sealed(
            SealedShard(
                holders: (shards[description.cid]?.copies ?? []).map(\.peer),
                alreadyHeld: former != nil, surplus: surplus.map(\.peer).sorted()))
    }

    mutating func confirmDropped(
        _ peer: PeerID, shard: CID, generation: Int
    ) throws(Refusal) -> Outcome {
        try checkMember(peer)
        guard var record = drops[peer]?[shard] else { return .done }
        let confirmed = record.pending.filter { $0.generation <= generation }
        guard !confirmed.isEmpty else { return .done }
        record.pending.removeAll { $0.generation <= generation }
        let byteCount = confirmed.reduce(0) { $0 + $1.fileByteCount }
        updatePeer(peer) { $0.droppingByteCount -= byteCount }
        let isForgotten = canForget(record, before: oldestOpenIndex)
        drops[peer]?[shard] = isForgotten ? nil : record
        dirty.drops.append(DropKey(peer: peer, shard: shard))
        return .done
    }

    // MARK: - Ends

    /// Takes the shards of a manifest from it: reservations are given back, shards that nobody
    /// else uses are dropped.
    mutating func releaseManifest(_ id: UploadID) -> (shardCount: Int, byteCount: Int) {
        guard let manifest = manifests.removeValue(forKey: id) else { return (0, 0) }
        var shardCount = 0
        // A root has many shards and few peers: what is counted for each is counted once.
        var dropped: [PeerID: [DroppedFile]] = [:]
        dirty.entries += manifest.entries.indices.lazy.map { ShardUse(upload: id, number: $0) }
        for (number, entry) in manifest.entries.enumerated() {
            switch entry {
            case .reserved(let reservation): giveBack(reservation)
            case .sealed(let cid):
                let use = ShardUse(upload: id, number: number)
                guard let copies = release(cid, use) else { continue }
                shardCount += 1
                for copy in copies {
                    let file = makeDrop(of: cid, fileByteCount: copy.fileByteCount)
                    dropped[copy.peer, default: []].append(file)
                }
            }
        }
        var byteCount = 0
        // In any order: peers do not depend on each other, and effects are sorted.
        for (peer, files) in dropped { byteCount += removeCopies(files, from: peer) }
        return (shardCount, byteCount)
    }

    /// - Returns: The copies that nobody needs now, or `nil` while somebody else uses the shard.
    private mutating func release(_ cid: CID, _ use: ShardUse) -> [ShardCopy]? {
        guard var shard = shards.removeValue(forKey: cid) else { return nil }
        dirty.shards.append(cid)
        if let index = shard.uses.firstIndex(of: use) {
            shard.uses.swapAt(index, shard.uses.count - 1)
            shard.uses.removeLast()
        }
        guard shard.uses.isEmpty else {
            let strictest = strictestReplication(of: shard.uses)
            shard.replicationMin = strictest.recordedMinimum
            shard.replicationMax = strictest.recordedMaximum
            shards[cid] = shard
            return nil
        }
        return shard.copies
    }

    /// - Returns: The bytes of the copies.
    private mutating func removeCopies(_ files: [DroppedFile], from peer: PeerID) -> Int {
        let byteCount = files.reduce(0) { $0 + $1.pending.fileByteCount }
        updatePeer(peer) {
            $0.copiesByteCount -= byteCount
            $0.copyCount -= files.count
        }
        var held = shardsOnPeer.removeValue(forKey: peer) ?? []
        for file in files { held.remove(file.shard) }
        shardsOnPeer[peer] = held
        drop(files, on: peer)
        return byteCount
    }

    func strictestReplication(of uses: [ShardUse]) -> Replication {
        uses.compactMap { manifests[$0.upload]?.policy }.reduce(Replication.none) {
            Replication($1).stricter(than: $0)
        }
    }

    // MARK: - Copies

    private mutating func addCopy(_ receipt: Receipt, of cid: CID) {
        // The receipt's generation is the one on disk: its drop may have been forgotten since.
        let copy = ShardCopy(
            peer: receipt.peer, generation: receipt.generation,
            fileByteCount: receipt.fileByteCount)
        let index = shards[cid]?.copies.partitionPoint { $0.peer < receipt.peer } ?? 0
        shards[cid]?.copies.insert(copy, at: index)
        shardsOnPeer[receipt.peer, default: []].insert(cid)
        effects.peers.insert(receipt.peer)
        updatePeer(receipt.peer) {
            $0.copiesByteCount += receipt.fileByteCount
            $0.copyCount += 1
        }
    }

    /// A holder has proved a copy again, maybe a newer file than the one known.
    private mutating func renewCopy(_ receipt: Receipt, of cid: CID) {
        guard let index = shards[cid]?.copies.firstIndex(where: { $0.peer == receipt.peer }),
            let known = shards[cid]?.copies[index].generation, known < receipt.generation
        else { return }
        shards[cid]?.copies[index].generation = receipt.generation
        effects.peers.insert(receipt.peer)
    }

    /// A file that a peer is to delete.
    private struct DroppedFile {
        var shard: CID
        var pending: DropRecord.Pending
    }

    /// Numbers the next drop.
    private mutating func makeDrop(of cid: CID, fileByteCount: Int) -> DroppedFile {
        lastGeneration += 1
        return DroppedFile(
            shard: cid,
            pending: DropRecord.Pending(generation: lastGeneration, fileByteCount: fileByteCount))
    }

    /// The peer is to delete files; until it confirms, their space is not free.
    private mutating func drop(_ files: [DroppedFile], on peer: PeerID) {
        var records = drops.removeValue(forKey: peer) ?? [:]
        records.reserveCapacity(records.count + files.count)
        for file in files {
            records[file.shard, default: DropRecord()].add(file.pending, at: appliedIndex)
        }
        dirty.drops += files.lazy.map { DropKey(peer: peer, shard: $0.shard) }
        drops[peer] = records
        updatePeer(peer) {
            $0.droppingByteCount += files.reduce(0) { $0 + $1.pending.fileByteCount }
        }
        effects.peers.insert(peer)
    }

    // MARK: - Memory of drops

    /// A drop may be forgotten when it is confirmed and no upload is open that could still bring
    /// a receipt from before it: a receipt is at least as new as its reservation.
    private func canForget(_ record: DropRecord, before oldestOpen: LogIndex?) -> Bool {
        record.pending.isEmpty && (oldestOpen.map { record.logIndex < $0 } ?? true)
    }

    private var oldestOpenIndex: LogIndex? {
        openUploads.compactMap { uploads[$0]?.openedIndex }.min()
    }

    mutating func forgetDrops() {
        let oldestOpen = oldestOpenIndex
        for peer in sortedPeers {
            let forgettable = (drops[peer] ?? [:]).filter { canForget($1, before: oldestOpen) }
            for cid in forgettable.keys {
                drops[peer]?[cid] = nil
                dirty.drops.append(DropKey(peer: peer, shard: cid))
            }
        }
    }

    // MARK: - Checks

    private func check(
        _ shard: ShardDescription, against reservation: Reservation, in id: UploadID
    ) throws(Refusal) {
        guard shard.blockCount >= 1, shard.payloadByteCount >= 0,
            shard.payloadByteCount < shard.fileByteCount,
            shard.depth == 1 || shard.depth == 2
        else {
            throw .badArgument(
                "a shard has at least one block, a file longer than its blocks, and one or two "
                    + "levels of lists")
        }
        guard shard.fileByteCount <= reservation.byteCount else {
            throw .shardLargerThanReserved(
                fileByteCount: shard.fileByteCount, reservedByteCount: reservation.byteCount)
        }
        guard let known = shards[shard.cid] else { return }
        let given = shard
        guard known.description.blockCount == given.blockCount,
            known.description.payloadByteCount == given.payloadByteCount,
            known.description.depth == given.depth
        else { throw .shardDiffers(shard.cid) }
        if let use = known.uses.first(where: { $0.upload == id }) {
            throw .shardInUpload(shard.cid, number: use.number)
        }
    }

    private func check(
        _ receipts: [Receipt], of shard: ShardDescription, against reservation: Reservation
    ) throws(Refusal) {
        var seen: Set<PeerID> = []
        for receipt in receipts {
            let peer = receipt.peer
            guard let record = peers[peer], reservation.peers.contains(peer) else {
                throw .receiptFromStranger(peer)
            }
            guard seen.insert(peer).inserted else { throw .receiptTwice(peer) }
            guard receipt.storageID == record.storageID else {
                throw .storageDiffers(
                    peer, known: record.storageID, given: receipt.storageID)
            }
            guard receipt.fileByteCount == shard.fileByteCount else {
                throw .receiptSize(
                    peer, fileByteCount: receipt.fileByteCount, expected: shard.fileByteCount)
            }
            guard receipt.generation <= lastGeneration else {
                throw .badArgument(
                    "the receipt of peer \(peer) is of generation \(receipt.generation), there were "
                        + "only \(lastGeneration)")
            }
            let dropped = generation(ofShard: shard.cid, on: peer)
            guard receipt.generation >= dropped else {
                throw .receiptOutdated(
                    peer, generation: receipt.generation, droppedGeneration: dropped)
            }
        }
    }

    /// Receipts in the order they are worth keeping: one per zone that has no copy yet, then the
    /// others.
    private func distinctZonesFirst(_ receipts: [Receipt], besides holders: [PeerID]) -> [Receipt] {
        var zones = Set(holders.map { peers[$0]?.zone })
        var first: [Receipt] = []
        var rest: [Receipt] = []
        for receipt in receipts {
            if zones.insert(peers[receipt.peer]?.zone).inserted {
                first.append(receipt)
            } else {
                rest.append(receipt)
            }
        }
        return first + rest
    }
}
