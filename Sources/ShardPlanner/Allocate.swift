import Multiformats

/// The rules by which `allocate` decides. The number is part of the replicated state and rises
/// only when every member of a cluster knows the new rules.
package enum AllocationRules {
    package static let version = 1
}

/// Picks the peers that hold one shard.
///
/// Peers that are down, draining, not allowed or without room are out. Then one copy after the
/// other goes to the zone with the fewest copies, in it to the host with the fewest, there to the
/// peer that is least full with the shard; ties go by rendezvous hash. The order of `peers` does
/// not matter, and there is no floating point, so all machines decide alike.
///
/// - Parameter peers: Every member, each once.
/// - Returns: At least `replicationMin` and at most `replicationMax` peers, kept ones included;
///   for -1 all peers that are up, not draining and allowed.
/// - Throws: `tooFewPeersWithRoom` when fewer than `replicationMin` can take the shard; for -1
///   when one of them all cannot.
package func allocate(
    _ request: AllocationRequest, among peers: [PeerCapacity]
) throws(AllocationError) -> AllocationDecision {
    var round = AllocationRound(request, peers)
    return try round.decide()
}

/// Checks that the copies of `byteCount` bytes fit the free space at all.
///
/// Necessary, not sufficient: the space of one peer is usable for one copy only, but where shard
/// boundaries fall is not considered.
///
/// - Throws: `tooLittleRoom` or, when there are too few peers, `tooFewPeersWithRoom`.
package func checkRoom(
    for byteCount: Int, policy: AllocationPolicy, among peers: [PeerCapacity]
) throws(AllocationError) {
    precondition(byteCount >= 1, "an upload of unknown or no length needs no check")
    let anyUpload = UploadID(high: 0, low: 0)
    let smallest = AllocationRequest(
        upload: anyUpload, shardNumber: 0, shardByteCount: 1, policy: policy)
    let round = AllocationRound(smallest, peers)
    try round.checkEnoughPeers()
    let usable = round.candidates.reduce(UInt128(0)) {
        $0 + UInt128(min(round.peers[$1].freeByteCount, byteCount))
    }
    guard usable >= UInt128(round.required) * UInt128(byteCount) else {
        throw .tooLittleRoom(
            neededByteCount: byteCount, copies: round.required,
            freeByteCount: Int(clamping: usable))
    }
}
