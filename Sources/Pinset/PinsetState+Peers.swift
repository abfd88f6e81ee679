import Multiformats
import ShardPlanner

/// Members: who they are, what they lend, whether they are there.
extension PinsetState {
    mutating func joinPeer(_ join: PeerJoin) throws(Refusal) -> Outcome {
        guard join.capacityByteCount >= 0 else {
            throw .badArgument("a capacity of \(join.capacityByteCount) bytes makes no sense")
        }
        let owner = sortedPeers.first { peers[$0]?.storageID == join.storageID }
        if let owner, owner != join.peer {
            throw .badArgument(
                "storage \(join.storageID) belongs to peer \(owner); a copied data directory "
                    + "needs an identity of its own")
        }
        guard let known = peers[join.peer] else {
            peers[join.peer] = PeerRecord(join)
            sortedPeers.insert(join.peer, at: sortedPeers.partitionPoint { $0 < join.peer })
            dirty.peers.insert(join.peer)
            effects.membership = true
            return .done
        }
        if known.storageID != join.storageID {
            guard join.replacesStorage else {
                throw .storageDiffers(join.peer, known: known.storageID, given: join.storageID)
            }
            loseCopies(of: join.peer)
        }
        updatePeer(join.peer) {
            $0.name = join.name
            $0.addresses = join.addresses
            $0.zone = join.zone
            $0.host = join.host
            $0.storageID = join.storageID
            $0.capacityByteCount = join.capacityByteCount
        }
        effects.membership = true
        return .done
    }

    mutating func setCapacity(_ peer: PeerID, byteCount: Int) throws(Refusal) -> Outcome {
        try checkMember(peer)
        guard byteCount >= 0 else {
            throw .badArgument("a capacity of \(byteCount) bytes makes no sense")
        }
        updatePeer(peer) { $0.capacityByteCount = byteCount }
        effects.membership = true
        return .done
    }

    mutating func setStatus(_ peer: PeerID, _ status: PeerStatus) throws(Refusal) -> Outcome {
        try checkMember(peer)
        updatePeer(peer) { $0.status = status }
        effects.membership = true
        return .done
    }

    mutating func setDraining(_ peer: PeerID, _ isDraining: Bool) throws(Refusal) -> Outcome {
        try checkMember(peer)
        updatePeer(peer) { $0.isDraining = isDraining }
        effects.membership = true
        return .done
    }

    mutating func forgetPeer(_ peer: PeerID, acceptingLoss: Bool) throws(Refusal) -> Outcome {
        try checkMember(peer)
        guard let record = peers[peer] else { throw .unknownPeer(peer) }
        // A reservation is a promise to an open upload: it ends or is moved by its coordinator.
        guard record.reservedByteCount == 0,
            record.copyCount == 0 || acceptingLoss || isSpare(peer)
        else {
            throw .peerHoldsShards(
                peer, copies: record.copyCount, reservedByteCount: record.reservedByteCount)
        }
        // Nobody else can end them.
        for upload in allOpenUploads where upload.options.coordinator == peer {
            try abortUpload(upload.id, reason: "peer \(peer), which took it, was removed")
        }
        loseCopies(of: peer)
        peers[peer] = nil
        sortedPeers.removeAll { $0 == peer }
        dirty.peers.insert(peer)
        effects.membership = true
        return .done
    }

    func checkMember(_ peer: PeerID) throws(Refusal) {
        guard peers[peer] != nil else { throw .unknownPeer(peer) }
    }

    /// All copies of a peer are gone, dropped ones included.
    private mutating func loseCopies(of peer: PeerID) {
        for cid in shardsOnPeer[peer] ?? [] {
            shards[cid]?.copies.removeAll { $0.peer == peer }
            dirty.shards.append(cid)
        }
        shardsOnPeer[peer] = nil
        for cid in (drops[peer] ?? [:]).keys {
            dirty.drops.append(DropKey(peer: peer, shard: cid))
        }
        drops[peer] = nil
        effects.peers.insert(peer)
        updatePeer(peer) {
            $0.copiesByteCount = 0
            $0.copyCount = 0
            $0.droppingByteCount = 0
        }
    }

    /// Changes a member's record in place.
    mutating func updatePeer(_ peer: PeerID, _ change: (inout PeerRecord) -> Void) {
        guard let index = peers.index(forKey: peer) else {
            preconditionFailure("peer \(peer) is not a member")
        }
        change(&peers.values[index])
        dirty.peers.insert(peer)
    }
}

extension Array {
    /// Index of the first element for which `precedes` is false, in an array where it is true for
    /// a first part and false for the rest.
    func partitionPoint(_ precedes: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if precedes(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
