import Multiformats
import ShardPlanner

/// What is short of copies, and who may take them.
extension PinsetState {
    /// Shards of visible roots that want more copies than they have and can get one, and that `peer`
    /// is to copy: of the holders that are up, the one with the lowest ID is.
    ///
    /// - Parameters:
    ///   - lost: Peers whose copies do not count any more. One that went a moment ago is not among
    ///     them.
    ///   - skipped: Shards to leave out.
    ///   - limit: Most shards in the answer, in order of their CIDs.
    package func shardsToCopy(
        from peer: PeerID, lost: Set<PeerID>, skipping skipped: Set<CID> = [], limit: Int
    ) -> [ShardRecord] {
        let counted = peersThatCount(without: lost)
        let short = (shardsOnPeer[peer] ?? []).subtracting(skipped).filter { cid in
            guard let shard = shards[cid], isShort(shard, among: counted), isNeededByRoot(cid)
            else {
                return false
            }
            return shard.copies.first { peers[$0.peer]?.isUp == true }?.peer == peer
        }
        return Array(
            short.sorted().lazy.compactMap { shards[$0] }
                .filter { !peersForAnotherCopy(of: $0, lost: lost).isEmpty }.prefix(limit))
    }

    /// Peers that may take another copy of a shard: with room, among those that its roots allow, and
    /// where there are some, in zones that have none of its good copies.
    package func peersForAnotherCopy(of shard: ShardRecord, lost: Set<PeerID>) -> [PeerID] {
        let holders = Set(shard.copies.map(\.peer))
        let allowed = peersAllowed(for: shard)
        let zones = Set(
            holders.subtracting(lost).compactMap { peers[$0] }.filter { !$0.isDraining }.compactMap(
                \.zone))
        let able = sortedPeers.compactMap { peers[$0] }.filter {
            $0.isReliable && !holders.contains($0.peer) && allowed?.contains($0.peer) != false
                && $0.freeByteCount >= shard.description.fileByteCount
        }
        let elsewhere = able.filter { record in record.zone.map { !zones.contains($0) } ?? true }
        return (elsewhere.isEmpty ? able : elsewhere).map(\.peer)
    }

    /// Whether every shard on a peer has all the copies it wants on others that are up.
    package func isSpare(_ peer: PeerID) -> Bool {
        let down = Set(peers.values.filter { !$0.isUp }.map(\.peer))
        let counted = peersThatCount(without: down.union([peer]))
        return !(shardsOnPeer[peer] ?? []).contains { cid in
            shards[cid].map { isShort($0, among: counted) } ?? false
        }
    }

    private func peersThatCount(without lost: Set<PeerID>) -> Set<PeerID> {
        Set(peers.values.filter { !$0.isDraining && !lost.contains($0.peer) }.map(\.peer))
    }

    private func isShort(_ shard: ShardRecord, among counted: Set<PeerID>) -> Bool {
        let good = shard.copies.count { counted.contains($0.peer) }
        guard shard.replicationMax < 0 else { return good < shard.replicationMax }
        return good < (peersAllowed(for: shard).map(counted.intersection) ?? counted).count
    }

    /// Where the roots that have a shard want its copies; `nil` where one of them allows all peers.
    private func peersAllowed(for shard: ShardRecord) -> Set<PeerID>? {
        var allowed: Set<PeerID> = []
        for use in shard.uses {
            guard let manifest = manifests[use.upload], manifest.root != nil else { continue }
            if manifest.policy.userAllocations.isEmpty { return nil }
            allowed.formUnion(manifest.policy.userAllocations)
        }
        return allowed
    }
}
