import EtcdClient
import Multiformats

/// Who could have a vote: a peer that runs an etcd member of its own.
package struct VoterCandidate: Equatable, Sendable {
    package var peer: PeerID
    /// Where its member talks to other members.
    package var peerURL: String
    /// It is there, and not about to leave.
    package var isUp: Bool

    package init(peer: PeerID, peerURL: String, isUp: Bool) {
        self.peer = peer
        self.peerURL = peerURL
        self.isUp = isUp
    }
}

/// One change of who votes. Each is repeated without harm, so whoever is killed in between leaves nothing
/// that the next look does not see.
package enum VoterStep: Equatable, Sendable, CustomStringConvertible {
    case addLearner(VoterCandidate)
    /// Refused by etcd until the learner has followed far enough; then it is asked again.
    case promote(EtcdMember)
    case remove(EtcdMember)
    /// Has another member lead, so that it can remove the one that led.
    case handOver(EtcdMember)

    package var description: String {
        switch self {
        case .addLearner(let candidate): "add \(candidate.peer) without a vote"
        case .promote(let member): "give \(member.name) a vote"
        case .remove(let member):
            "remove \(member.name.isEmpty ? member.peerURLs.joined() : member.name)"
        case .handOver(let member): "have \(member.name) lead"
        }
    }
}

/// Decides who votes. RFC 0008 has the states and the reasons.
package enum VoterPlan {
    /// One, three or five voters: two tolerate no more failures than one, and are more that may fail.
    static func wantedCount(candidates: Int) -> Int {
        candidates >= 5 ? 5 : candidates >= 3 ? 3 : 1
    }

    /// The next change, or `nil` when all is as it should be or has to wait for somebody.
    ///
    /// - Parameters:
    ///   - members: As etcd lists them.
    ///   - candidates: Members of the cluster that run an etcd.
    ///   - own: The member of the peer that decides: it leads, and does not remove itself. One that is no
    ///     candidate is about to leave.
    ///   - passed: Members to leave as they are: one that is to lead does not answer, or without one
    ///     that is to go the others would have no quorum.
    package static func next(
        members: [EtcdMember], candidates: [VoterCandidate], own: UInt64,
        passing passed: Set<UInt64> = []
    ) -> VoterStep? {
        let ordered = candidates.sorted { $0.peer < $1.peer }
        func candidate(of member: EtcdMember) -> VoterCandidate? {
            ordered.first { member.peerURLs.contains($0.peerURL) }
        }
        func isLeaving(_ member: EtcdMember) -> Bool {
            // One whose address has changed is a candidate by its name.
            member.id == own && !ordered.contains { $0.peer.description == member.name }
        }
        let voters = members.filter { !$0.isLearner && !isLeaving($0) }
        if members.contains(where: isLeaving) {
            let heirs = voters.filter { !passed.contains($0.id) && candidate(of: $0) != nil }
            // One that is drained decides no worse.
            let heir = heirs.first { candidate(of: $0)?.isUp == true } ?? heirs.first
            if let heir { return .handOver(heir) }
        }
        // Who was removed from the cluster, or has moved, votes no longer.
        let stray = members.first {
            $0.id != own && !passed.contains($0.id) && candidate(of: $0) == nil
        }
        if let stray { return .remove(stray) }
        let wanted = wantedCount(candidates: ordered.count)
        let free = ordered.filter { candidate in
            // Whoever decides is a member, also where its address is no longer the one it votes under.
            candidate.isUp
                && !members.contains {
                    $0.peerURLs.contains(candidate.peerURL)
                        || $0.id == own && $0.name == candidate.peer.description
                }
        }
        if let learner = members.first(where: \.isLearner) {
            guard candidate(of: learner)?.isUp == true, voters.count < wanted else {
                // It would be in the way of others: there is one learner at a time.
                return .remove(learner)
            }
            // An even number of voters is left at once: who makes it odd again must be there.
            let becomesOdd = voters.count.isMultiple(of: 2)
            return becomesOdd || !free.isEmpty ? .promote(learner) : nil
        }
        if voters.count < wanted, let next = free.first {
            // From an odd number on, two have to come.
            return voters.count.isMultiple(of: 2) || free.count >= 2 ? .addLearner(next) : nil
        }
        if voters.count > wanted {
            let others = voters.filter { $0.id != own && !passed.contains($0.id) }
            let down = others.first { candidate(of: $0)?.isUp == false }
            return (down ?? others.last).map(VoterStep.remove)
        }
        return nil
    }
}
