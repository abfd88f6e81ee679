import ClusterCore
import EtcdClient
import Multiformats
import Pinset

/// This peer's own etcd, and who votes when it leads, as `ManagedEtcd` has them.
extension SimulatedPeer {
    var memberURL: String { SimulatedVoters.url(ofMachine: machine) }
    var clientURL: String { Self.clientURL(of: memberURL) }

    static func clientURL(of memberURL: String) -> String { memberURL + "/client" }

    private var voters: SimulatedVoters { world.voters }

    // MARK: Life of its member

    /// Starts what is to run.
    func tendMember() {
        guard let member else { return beginOrJoin() }
        if member.isRunning { return }
        guard member.wasRemoved else { return voters.start(member) }
        if world.mistake != .keepsFormerMember, isGone() {
            self.member = nil
        } else {
            voters.start(member)
        }
    }

    private func beginOrJoin() {
        if isFounder {
            isFounder = false
            member = voters.begin(on: self)
            return
        }
        let isCareless = world.mistake == .believesOldLists
        guard reachesLog, let members = isCareless ? voters.anyList() : voters.currentList(),
            let own = members.first(where: { $0.peerURLs.contains(memberURL) })
        else { return }
        guard own.name.isEmpty || world.mistake == .votesAfterLoss else {
            // It has voted under that ID, and could vote twice.
            _ = voters.remove(own.id)
            return
        }
        member = voters.join(self, as: own.id, of: members)
    }

    /// Whether the others, as of now, say that this member is none.
    private func isGone() -> Bool {
        guard reachesLog, voters.canDecide, world.peers.contains(where: isOther) else {
            return false
        }
        let members = voters.configuration.members
        let own =
            members.first { $0.name == name }
            ?? members.first { $0.peerURLs.contains(memberURL) }
        guard let own else { return true }
        guard own.isLearner, own.name.isEmpty else { return false }
        _ = voters.remove(own.id)
        return true
    }

    private func isOther(_ peer: SimulatedPeer) -> Bool {
        peer !== self && peer.member.map(voters.isLiving) == true
    }

    // MARK: Leaving

    /// Others have removed this peer: it does nothing more as a member of the cluster, and votes until the
    /// others can agree without it.
    func leave() {
        isAnnounced = true
        waitUntilGone()
    }

    private func waitUntilGone() {
        let isDone =
            world.mistake == .leavesAtOnce || member == nil || member!.wasRemoved || isGone()
        if isDone { return end() }
        after(1000, "wait until gone") { [self] in waitUntilGone() }
    }

    // MARK: Who votes

    /// One look, and at most one step.
    func steer() {
        guard isReady || isLeaving, !isSteering else { return }
        isSteering = true
        guard isAnnounced else { return announce() }
        lookAtMembers()
    }

    /// A step of the network; nothing comes of it when it fails.
    private func online(_ label: StaticString, _ body: @escaping () -> Void) {
        after(world.random(1...(world.isFaulty ? 200 : 10)), label) { [self] in
            guard reachesLog, !world.mishap(3) else {
                isSteering = false
                return
            }
            body()
        }
    }

    private func announce() {
        online("announce") { [self] in
            guard voters.propose(.announcement(id, url: memberURL)) else {
                isSteering = false
                return
            }
            isAnnounced = true
            lookAtMembers()
        }
    }

    private func lookAtMembers() {
        online("who votes") { [self] in
            guard let member, voters.leads(member), voters.canDecide else {
                isSteering = false
                return
            }
            let members = member.configuration.members
            let announcements = voters.announcements
            online("who is a member") { [self] in
                guard voters.canDecide else {
                    isSteering = false
                    return
                }
                // The keys first: who has one was a member before.
                waitUntilApplied(world.newestIndex) { [self] in
                    guard
                        let step = nextStep(members, candidates(announcements), own: member.id)
                    else {
                        isSteering = false
                        return
                    }
                    take(step)
                }
            }
        }
    }

    private func candidates(_ found: [PeerID: SimulatedVoters.Announcement]) -> [VoterCandidate] {
        var candidates: [VoterCandidate] = []
        for (peer, announcement) in found.sorted(by: { $0.key < $1.key }) {
            guard let record = state.peer(peer) else {
                voters.propose(.withdrawal(peer, since: announcement.revision))
                continue
            }
            candidates.append(
                VoterCandidate(
                    peer: peer, peerURL: announcement.url,
                    isUp: record.status == .up && !record.isDraining))
        }
        return candidates
    }

    private func nextStep(
        _ members: [EtcdMember], _ candidates: [VoterCandidate], own: UInt64
    ) -> VoterStep? {
        var passed: Set<UInt64> = []
        while let step = VoterPlan.next(
            members: members, candidates: candidates, own: own, passing: passed)
        {
            switch step {
            case .addLearner, .promote: return step
            case .handOver(let member):
                if world.mistake != .neverHandsOver, voters.answers(member, to: self) {
                    return step
                }
                passed.insert(member.id)
            case .remove(let member):
                if canAgree(members, without: member) { return step }
                passed.insert(member.id)
            }
        }
        return nil
    }

    private func canAgree(_ members: [EtcdMember], without gone: EtcdMember) -> Bool {
        if gone.isLearner || world.mistake == .removesWithoutQuorum { return true }
        let others = members.filter { !$0.isLearner && $0.id != gone.id }
        return others.count { voters.answers($0, to: self) } * 2 > others.count
    }

    /// Late, twice or never.
    private func take(_ step: VoterStep) {
        world.count(.voterStep)
        if case .promote = step { isAnnounced = false }
        let copies = world.mishap(10) ? 2 : 1
        for _ in 0..<copies where !world.mishap(10) {
            world.voterStepCount += 1
            world.after(world.random(1...(world.isFaulty ? 800 : 20)), "change who votes") {
                [self] in
                world.voterStepCount -= 1
                if reachesLog { carryOut(step) }
            }
        }
        after(1000, "changed who votes") { [self] in
            isSteering = false
            // Whoever was promoted has to hear of it.
            if !isAnnounced { steer() }
        }
    }

    private func carryOut(_ step: VoterStep) {
        switch step {
        case .addLearner(let candidate): _ = voters.addLearner(candidate.peerURL)
        case .promote(let member):
            // etcd goes by what a learner has taken, also when it has gone since.
            if voters.answers(member, to: self) { _ = voters.promote(member.id) }
        case .remove(let member): _ = voters.remove(member.id)
        case .handOver(let member): voters.handOver(to: member.id)
        }
        if world.isTraced { print("\(world.now) peer \(number): \(step)") }
    }
}
