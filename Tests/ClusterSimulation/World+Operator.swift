import Multiformats
import Pinset

/// What operators do with machines: they take some out of the cluster, bring them back, and give up
/// those that are lost.
extension World {
    private static let removalLimit = 4
    private static let lossLimit = 1
    /// Fewer peers are never left.
    private static let leastPeerCount = 3

    func operate() {
        guard isFaulty else { return }
        if random(0...3) > 0 { removeSomebody() } else { loseSomebody() }
        loseSomeEtcd()
        after(random(2000...12_000), "operator") { [unowned self] in operate() }
    }

    /// In the end all are members with room, and nobody else is.
    func tidyUp() {
        for peer in presentPeers where peer.isReady {
            if truth.peer(peer.id)?.isDraining == true {
                peer.performPersistently(.undrainPeer(peer.id)) { _ in }
            }
            if truth.peer(peer.id)?.capacityByteCount != 1_000_000 {
                peer.performPersistently(.setCapacity(peer.id, byteCount: 1_000_000)) { _ in }
            }
        }
        for member in truth.members {
            // Its request to join came late, after it was removed.
            guard let peer = peer(member.peer), peer.presence != .here,
                errands.insert(peer.number).inserted
            else { continue }
            remove(peer, attempts: 3)
        }
        for peer in presentPeers { freeOfFormerMember(peer) }
        after(10_000, "operator") { [unowned self] in tidyUp() }
    }

    // MARK: Removal

    private func removeSomebody() {
        let able = presentPeers.filter {
            truth.peer($0.id) != nil && !errands.contains($0.number)
        }
        guard removalCount < Self.removalLimit,
            able.count > Self.leastPeerCount
        else { return }
        let peer = able[random(0...able.count - 1)]
        errands.insert(peer.number)
        removalCount += 1
        anyPeer(besides: peer)?.performPersistently(.drainPeer(peer.id)) { _ in }
        after(random(1000...8000), "remove") { [unowned self] in remove(peer, attempts: 12) }
    }

    /// Asks some peer to remove another one, as often as that takes.
    private func remove(_ peer: SimulatedPeer, attempts: Int) {
        guard let helper = anyPeer(besides: peer) else { return removeLater(peer, attempts) }
        guard helper.state.peer(peer.id) != nil else { return bringBack(peer) }
        if attempts <= 0, peer.presence == .here {
            helper.performPersistently(.undrainPeer(peer.id)) { _ in }
            errands.remove(peer.number)
            return
        }
        let acceptsLoss =
            attempts <= 0 && peer.presence == .lost && !helper.state.isSpare(peer.id)
        if acceptsLoss || helper.state.isSpare(peer.id),
            !helper.state.isPromisedToOthers(peer.id)
        {
            for upload in helper.state.allOpenUploads
            where upload.options.coordinator == peer.id {
                helper.perform(.abortUpload(upload.id, reason: "its peer was removed")) { _ in }
            }
            helper.perform(.forgetPeer(peer.id, acceptingLoss: acceptsLoss)) { _ in }
        }
        removeLater(peer, attempts)
    }

    private func removeLater(_ peer: SimulatedPeer, _ attempts: Int) {
        after(random(1000...6000), "remove again") { [unowned self] in
            remove(peer, attempts: attempts - 1)
        }
    }

    /// Once it has ended by itself: with what it has, with an empty directory, or not at all.
    private func bringBack(_ peer: SimulatedPeer) {
        switch peer.presence {
        // It ends by itself; started again before, it has joined again.
        case .here where !peer.isRunning || peer.isLeaving || peer.state.peer(peer.id) == nil:
            return after(1000, "bring back") { [unowned self] in bringBack(peer) }
        case .stopped:
            after(random(500...15_000), "bring back") { [unowned self] in
                errands.remove(peer.number)
                returnMachine(of: peer)
            }
        default: errands.remove(peer.number)
        }
    }

    private func returnMachine(of peer: SimulatedPeer) {
        switch random(0...2) {
        case 0: return
        case 1: peer.start()
        default:
            peer.presence = .lost
            peer.member = nil
            let next = addPeer(on: peer.machine)
            next.start()
        }
        count(.returnedPeer)
    }

    // MARK: Loss

    /// Its disk is never seen again.
    private func loseSomebody() {
        let peer = anyAddress()
        guard counts[.lostPeer] < Self.lossLimit, presentPeers.count > Self.leastPeerCount + 1,
            !errands.contains(peer.number), canLose(peer)
        else { return }
        count(.lostPeer)
        peer.crash()
        peer.presence = .lost
        peer.member = nil
        errands.insert(peer.number)
        after(random(1000...20_000), "remove") { [unowned self] in remove(peer, attempts: 5) }
    }

    /// The directory of its etcd is removed while it does not run.
    private func loseSomeEtcd() {
        let able = presentPeers.filter { !$0.isRunning && canLoseEtcd($0) }
        guard !able.isEmpty else { return }
        count(.lostEtcd)
        able[random(0...able.count - 1)].member = nil
    }

    /// A member was removed while it was away, and all the members that it knows have gone since: nobody
    /// tells it.
    private func freeOfFormerMember(_ peer: SimulatedPeer) {
        guard let member = peer.member, member.isRunning, voters.isForgotten(member) else {
            return
        }
        count(.freedPeer)
        peer.crash()
        peer.member = nil
        peer.start()
    }

    func canLoseEtcd(_ peer: SimulatedPeer) -> Bool {
        // As long as nobody knows that it has started, nobody could know that it lost anything.
        let own = voters.configuration.members.first { $0.id == peer.member?.id }
        return peer.presence == .here && own?.name.isEmpty == false && canLose(peer)
    }

    /// Without what a peer's member has, the others could still agree; with one or two voters, or none to
    /// spare, an operator has to recover the cluster.
    private func canLose(_ peer: SimulatedPeer) -> Bool {
        let voters = voters.configuration.voters
        guard !self.voters.isChanging, voterStepCount == 0, voters.count >= 3 else { return false }
        let others = peers.count {
            $0 !== peer && $0.presence == .here && $0.member.map { voters.contains($0.id) } == true
        }
        return others * 2 > voters.count
    }

    /// Shards of which nothing is left after this command.
    func lastCopies(givenUpBy command: Command) -> Set<CID> {
        guard case .forgetPeer(let peer, acceptingLoss: true) = command else { return [] }
        return Set(
            truth.holdings(of: peer).copies.map(\.shard).filter {
                truth.shard($0)?.copies.count == 1
            })
    }
}
