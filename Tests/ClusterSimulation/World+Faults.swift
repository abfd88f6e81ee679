import Multiformats
import Pinset

/// What goes wrong until the faults end: much of it at any time, some of it at the worst moment.
extension World {
    func provokeFault() {
        guard isFaulty else { return }
        let peer = anyAddress()
        switch random(0...10) {
        case 0...3: crash(peer)
        case 4:
            peer.reachesLog = false
            after(random(500...20_000), "log back") { peer.reachesLog = true }
        case 5:
            let other = anyAddress()
            guard other !== peer else { break }
            cutLink(between: peer, other, for: random(500...20_000))
        case 6, 7:
            peer.diskDelay = 50...3000
            // What takes long is killed by somebody.
            if random(0...1) == 0 {
                after(random(100...6000), "kill") { [unowned self] in
                    if isFaulty { crash(peer, isKilled: true) }
                }
            }
            after(random(1000...15_000), "disk fast") { peer.diskDelay = SimulatedPeer.fastDisk }
        case 8:
            peer.diskIsFull = true
            after(random(500...8000), "disk has room") { peer.diskIsFull = false }
        case 9:
            let byteCount = peer.capacityByteCount * random(30...120) / 100
            peer.performPersistently(.setCapacity(peer.id, byteCount: byteCount)) { _ in }
        default:
            let isDraining = truth.peer(peer.id)?.isDraining == true
            anyPeer()?.performPersistently(
                isDraining ? .undrainPeer(peer.id) : .drainPeer(peer.id)
            ) { _ in }
        }
        after(random(100...3000), "fault") { [unowned self] in provokeFault() }
    }

    /// Somebody removes what is just being uploaded again.
    func provokeRemoval(of shard: CID) {
        guard mishap(60) else { return }
        for root in truth.roots(ofShard: shard) {
            anyPeer()?.performPersistently(.unpin(root)) { _ in }
        }
    }

    /// Between two steps that belong together, a process may end, and another one start at once.
    func provokeCrash(of peer: SimulatedPeer) {
        guard mishap(4) else { return }
        after(0, "worst moment") { [unowned self] in crash(peer, isShort: true) }
    }

    /// A member is about to be known as one that has started: it loses what it has, and one of the others
    /// does not know of it.
    func provokeLoss(byMemberOf peer: SimulatedPeer, under leader: SimulatedPeer) {
        let others = presentPeers.filter { other in
            other !== peer && other !== leader && other.member.map(voters.isLiving) == true
        }
        guard hasOperator, others.count > 1, mishap(70) else { return }
        cutLink(between: leader, others[random(0...others.count - 1)], for: 2000)
        after(random(0...100), "worst moment") { [unowned self] in
            guard peer.isRunning, canLoseEtcd(peer) else { return }
            crash(peer, isShort: true)
            count(.lostEtcd)
            peer.member = nil
        }
    }

    private func cutLink(between one: SimulatedPeer, _ other: SimulatedPeer, for time: Int) {
        let link: Set<Int> = [one.number, other.number]
        cutLinks.insert(link)
        count(.cutLink)
        after(time, "link back") { [unowned self] in cutLinks.remove(link) }
    }

    func crash(_ peer: SimulatedPeer, isKilled: Bool = false, isShort: Bool = false) {
        guard peer.isRunning else { return }
        count(.crash)
        peer.crash()
        if !isKilled, random(0...1) == 0 {
            count(.powerCut)
            peer.disk.losePower(&random)
        }
        checkDisks()
        // Some are started again at once. Without most of the voters there is little to see.
        let pause =
            isShort || random(0...2) == 0
            ? random(50...400) : random(50...random(50...25_000))
        after(pause, "restart") {
            if peer.presence == .here, !peer.isRunning { peer.start() }
        }
    }
}
