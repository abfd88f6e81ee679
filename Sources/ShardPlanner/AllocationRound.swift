import Multiformats

/// One run of the placement rules over the peers in order of their IDs.
struct AllocationRound {
    private let request: AllocationRequest
    /// By peer ID.
    let peers: [PeerCapacity]
    /// Indices of the peers that could still be picked.
    private(set) var candidates: [Int] = []
    /// Copies without which the shard is refused.
    private(set) var required = 0
    private var verdicts: [Verdict?]
    private var chosen: [Int] = []
    /// For each peer, how many copies its zone and its host have.
    private var copiesInZone: [Int]
    private var copiesOnHost: [Int]
    private let rendezvous: Rendezvous
    private var weights: [UInt64?]

    init(_ request: AllocationRequest, _ unordered: [PeerCapacity]) {
        self.request = request
        let isOrdered = unordered.indices.dropFirst().allSatisfy {
            unordered[$0 - 1].peer < unordered[$0].peer
        }
        peers = isOrdered ? unordered : unordered.sorted { $0.peer < $1.peer }
        verdicts = Array(repeating: nil, count: peers.count)
        copiesInZone = Array(repeating: 0, count: peers.count)
        copiesOnHost = Array(repeating: 0, count: peers.count)
        weights = Array(repeating: nil, count: peers.count)
        rendezvous = Rendezvous(upload: request.upload, shardNumber: request.shardNumber)
        filter()
        required = requiredCopies()
    }

    mutating func decide() throws(AllocationError) -> AllocationDecision {
        try checkEnoughPeers()
        if request.policy.isEverywhere {
            while let next = candidates.first { choose(next) }
        } else {
            while chosen.count < request.policy.replicationMax, let next = bestCandidate() {
                choose(next)
            }
        }
        let verdicts = finishedVerdicts()
        var counts = VerdictCounts()
        for verdict in verdicts { counts.count(verdict.verdict) }
        return AllocationDecision(
            chosen: chosen.map { peers[$0].peer },
            verdicts: verdicts,
            counts: counts,
            inputDigest: AllocationInput.digest(request, peers),
            rulesVersion: AllocationRules.version)
    }

    func checkEnoughPeers() throws(AllocationError) {
        let found = chosen.count + candidates.count
        guard found < required else { return }
        var counts = VerdictCounts()
        var largestFree = candidates.map { peers[$0].freeByteCount }.max() ?? 0
        for case .some(let verdict) in verdicts {
            counts.count(verdict)
            if case .noRoom(_, let free) = verdict { largestFree = max(largestFree, free) }
        }
        throw .tooFewPeersWithRoom(
            AllocationShortfall(
                shardByteCount: request.shardByteCount, required: required, found: found,
                counts: counts, largestFreeByteCount: largestFree))
    }

    // MARK: - Filters

    private mutating func filter() {
        let allowed = Set(request.policy.userAllocations)
        let excluded = Set(request.excluding)
        let kept = Set(request.keeping)
        for index in peers.indices {
            if kept.contains(peers[index].peer) {
                verdicts[index] = .kept
            } else if let reason = rejection(peers[index], allowed, excluded) {
                verdicts[index] = reason
            } else {
                candidates.append(index)
            }
        }
        for peer in request.keeping {
            guard let index = peers.firstIndex(where: { $0.peer == peer }) else { continue }
            take(index)
        }
    }

    private func rejection(
        _ peer: PeerCapacity, _ allowed: Set<PeerID>, _ excluded: Set<PeerID>
    ) -> Verdict? {
        if !allowed.isEmpty, !allowed.contains(peer.peer) { return .notAllowed }
        if excluded.contains(peer.peer) { return .excluded }
        switch peer.state {
        case .down(let since):
            let now = request.atMilliseconds
            return .down(forMilliseconds: now > since ? now - since : 0)
        case .draining: return .draining
        case .up: break
        }
        guard peer.freeByteCount >= request.shardByteCount else {
            return .noRoom(
                neededByteCount: request.shardByteCount, freeByteCount: peer.freeByteCount)
        }
        return nil
    }

    private func requiredCopies() -> Int {
        guard request.policy.isEverywhere else { return request.policy.replicationMin }
        let withoutRoom = verdicts.count {
            if case .noRoom = $0 { true } else { false }
        }
        return max(1, chosen.count + candidates.count + withoutRoom)
    }

    // MARK: - Picking

    private mutating func bestCandidate() -> Int? {
        guard var best = candidates.first else { return nil }
        for candidate in candidates.dropFirst() where isBetter(candidate, best) {
            best = candidate
        }
        return best
    }

    private mutating func isBetter(_ left: Int, _ right: Int) -> Bool {
        switch compare(left, right) {
        case .zone(let isBetter), .host(let isBetter), .fill(let isBetter): isBetter
        case .tie: weight(left) > weight(right)
        }
    }

    /// The first rule that tells two candidates apart, and whether the left one is better by it.
    private enum Comparison {
        case zone(Bool)
        case host(Bool)
        case fill(Bool)
        case tie
    }

    private func compare(_ left: Int, _ right: Int) -> Comparison {
        let zones = (copiesInZone[left], copiesInZone[right])
        if zones.0 != zones.1 { return .zone(zones.0 < zones.1) }
        let hosts = (copiesOnHost[left], copiesOnHost[right])
        if hosts.0 != hosts.1 { return .host(hosts.0 < hosts.1) }
        // occupied(left) / capacity(left) < occupied(right) / capacity(right), without dividing
        let leftFill = occupied(left).multipliedFullWidth(by: capacity(right))
        let rightFill = occupied(right).multipliedFullWidth(by: capacity(left))
        if leftFill == rightFill { return .tie }
        return .fill(
            (leftFill.high, leftFill.low) < (rightFill.high, rightFill.low))
    }

    /// Bytes promised or used with the shard on the peer.
    private func occupied(_ index: Int) -> UInt {
        let peer = peers[index]
        return UInt(peer.usedByteCount) + UInt(peer.reservedByteCount)
            + UInt(request.shardByteCount)
    }

    private func capacity(_ index: Int) -> UInt { UInt(peers[index].capacityByteCount) }

    private func fillPermille(_ index: Int) -> Int {
        let product = occupied(index).multipliedFullWidth(by: 1000)
        return Int(capacity(index).dividingFullWidth(product).quotient)
    }

    /// Computed for peers that tie, and once: in a cluster of equal peers most do.
    private mutating func weight(_ index: Int) -> UInt64 {
        if let known = weights[index] { return known }
        let weight = rendezvous.weight(of: peers[index].peer)
        weights[index] = weight
        return weight
    }

    private mutating func choose(_ index: Int) {
        let fill = fillPermille(index)
        take(index)
        verdicts[index] = .chosen(copy: chosen.count, fillPermille: fill)
        candidates.removeAll { $0 == index }
    }

    private mutating func take(_ index: Int) {
        chosen.append(index)
        countCopies(1, at: index)
    }

    /// Counts copies for all peers of the same zone, and for those of the same host. Peers without a
    /// zone share one, so that they never count as apart for want of a tag; nobody shares the host of
    /// a peer without one.
    private mutating func countCopies(_ change: Int, at index: Int) {
        // Where everybody takes a copy nobody is compared.
        guard !request.policy.isEverywhere else { return }
        let (zone, host) = (peers[index].zone, peers[index].host)
        for other in peers.indices {
            if peers[other].zone == zone { copiesInZone[other] += change }
            if host != nil && peers[other].host == host { copiesOnHost[other] += change }
        }
    }

    // MARK: - Verdicts

    /// Compares whoever is left with the last peer picked, as things stood before that pick.
    private mutating func finishedVerdicts() -> [PeerVerdict] {
        if let last = chosen.last, case .chosen = verdicts[last] {
            countCopies(-1, at: last)
            for candidate in candidates { verdicts[candidate] = lostTo(last, candidate) }
        } else {
            // Kept peers alone are enough copies: nothing was compared.
            for candidate in candidates { verdicts[candidate] = .tieLost }
        }
        return peers.indices.map { index in
            guard let verdict = verdicts[index] else {
                preconditionFailure("every peer has a verdict")
            }
            return PeerVerdict(peer: peers[index].peer, verdict: verdict)
        }
    }

    private func lostTo(_ last: Int, _ candidate: Int) -> Verdict {
        switch compare(candidate, last) {
        case .zone: .zoneUsed(zone: peers[candidate].zone)
        case .host: .hostUsed(host: peers[candidate].host)
        case .fill:
            .fuller(
                fillPermille: fillPermille(candidate), lastChosenPermille: fillPermille(last))
        case .tie: .tieLost
        }
    }
}
