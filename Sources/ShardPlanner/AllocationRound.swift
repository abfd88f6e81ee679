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
    /// Small numbers for zones and hosts, so that picking compares no text.
    private let domains: [Domain]
    private var copiesInZone: [Int]
    private var copiesOnHost: [Int]
    private var weights: [UInt64?]

    private struct Domain {
        var zone: Int
        var host: Int
    }

    init(_ request: AllocationRequest, _ unordered: [PeerCapacity]) {
        self.request = request
        peers = unordered.sorted { $0.peer < $1.peer }
        verdicts = Array(repeating: nil, count: peers.count)
        domains = Self.domains(of: peers)
        copiesInZone = Array(repeating: 0, count: peers.count)
        copiesOnHost = Array(repeating: 0, count: peers.count)
        weights = Array(repeating: nil, count: peers.count)
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
        let all = finishVerdicts()
        var counts = VerdictCounts()
        for verdict in all { counts.count(verdict) }
        return AllocationDecision(
            chosen: chosen.map { peers[$0].peer },
            verdicts: zip(peers, all).map { PeerVerdict(peer: $0.peer, verdict: $1) },
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
        let zones = (copiesInZone[domains[left].zone], copiesInZone[domains[right].zone])
        if zones.0 != zones.1 { return .zone(zones.0 < zones.1) }
        let hosts = (copiesOnHost[domains[left].host], copiesOnHost[domains[right].host])
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
        let weight = Rendezvous.weight(
            upload: request.upload, shardNumber: request.shardNumber, peer: peers[index].peer)
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
        copiesInZone[domains[index].zone] += 1
        copiesOnHost[domains[index].host] += 1
    }

    // MARK: - Verdicts

    /// Compares whoever is left with the last peer picked, as things stood before that pick.
    private mutating func finishVerdicts() -> [Verdict] {
        if let last = chosen.last, case .chosen = verdicts[last] {
            copiesInZone[domains[last].zone] -= 1
            copiesOnHost[domains[last].host] -= 1
            for candidate in candidates { verdicts[candidate] = lostTo(last, candidate) }
        } else {
            // Kept peers alone are enough copies: nothing was compared.
            for candidate in candidates { verdicts[candidate] = .tieLost }
        }
        return verdicts.map { verdict in
            guard let verdict else { preconditionFailure("every peer has a verdict") }
            return verdict
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

    /// Peers without a zone share one, so that they never count as apart for want of a tag; a peer
    /// without a host is a host of its own.
    private static func domains(of peers: [PeerCapacity]) -> [Domain] {
        var zones: [String?: Int] = [:]
        var hosts: [String: Int] = [:]
        /// The index of the first peer with a tag is its number.
        func number<Tag>(_ tag: Tag, _ known: inout [Tag: Int], at index: Int) -> Int {
            if let number = known[tag] { return number }
            known[tag] = index
            return index
        }
        return peers.indices.map { index in
            Domain(
                zone: number(peers[index].zone, &zones, at: index),
                host: peers[index].host.map { number($0, &hosts, at: index) } ?? index)
        }
    }
}
