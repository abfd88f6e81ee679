import EtcdClient
import Multiformats
import Pinset

/// etcd as the peers run it: one log on the disks of its members, elections, and changes of members.
///
/// One round of the leader's messages is one step: whoever lives and can be reached has all of its log
/// after it, synced, and knows what is committed. A change of members counts from its commit on.
final class SimulatedVoters {
    enum Content {
        /// A new leader's first entry.
        case nothing
        case command(Command, RequestID, LogTime)
        case change(Change)
        /// A peer can have a vote, at this URL.
        case announcement(PeerID, url: String)
        /// Unless it was announced again since.
        case withdrawal(PeerID, since: Int)
    }

    enum Change {
        case add(EtcdMember)
        case promote(UInt64)
        case remove(UInt64)
        /// A member has started for the first time.
        case name(UInt64, as: String)
    }

    struct Entry {
        /// Of all entries ever written by any leader.
        let number: Int
        let content: Content
    }

    struct Configuration {
        fileprivate(set) var members: [EtcdMember] = []
        fileprivate(set) var removed: Set<UInt64> = []
        fileprivate(set) var voters: Set<UInt64> = []

        var learner: EtcdMember? { members.first(where: \.isLearner) }

        func hasQuorum(_ count: Int) -> Bool { count * 2 > voters.count }
    }

    /// What a member has on its disk, and whether it runs.
    final class Replica {
        let id: UInt64
        unowned let peer: SimulatedPeer
        fileprivate(set) var log: [Entry] = []
        fileprivate(set) var lastTerm = 0
        fileprivate(set) var term = 0
        fileprivate(set) var committedCount = 0
        fileprivate(set) var configuration = Configuration()
        /// Whom it was told of when it was added.
        fileprivate let contacts: [EtcdMember]
        fileprivate(set) var isRunning = false
        /// Another member has said that this one is none, and it has ended.
        fileprivate(set) var wasRemoved = false

        init(_ id: UInt64, on peer: SimulatedPeer, contacts: [EtcdMember]) {
            self.id = id
            self.peer = peer
            self.contacts = contacts
        }

        fileprivate func knows(_ other: Replica) -> Bool {
            (committedCount > 0 ? configuration.members : contacts).contains { $0.id == other.id }
        }
    }

    struct Announcement {
        let url: String
        let revision: Int
    }

    private static let healthTime = 5000

    private unowned let world: World
    private(set) var leader: Replica?
    private var writtenCount = 0
    private var memberCount: UInt64 = 0
    /// Numbers of what was ever committed.
    private var committed: [Int] = []
    /// Each with how much was committed when it began to count.
    private var configurations: [(count: Int, Configuration)] = [(0, Configuration())]
    private(set) var announcements: [PeerID: Announcement] = [:]
    /// How much of what is committed each member once had.
    private var heldCounts: [UInt64: Int] = [:]

    init(in world: World) {
        self.world = world
    }

    static func url(ofMachine machine: Int) -> String { "https://m\(machine):2380" }

    // MARK: Who lives

    private var living: [Replica] { world.peers.compactMap(\.member).filter(isLiving) }

    func isLiving(_ replica: Replica) -> Bool { replica.isRunning && replica.peer.reachesLog }

    private func canReach(_ one: Replica, _ other: Replica) -> Bool {
        one === other || !world.isCut(one.peer.number, other.peer.number)
    }

    private func livingVoterCount(for one: Replica) -> Int {
        world.peers.count {
            guard let other = $0.member, one.configuration.voters.contains(other.id) else {
                return false
            }
            return isLiving(other) && canReach(one, other)
        }
    }

    /// There is a leader that most voters follow: only then is anything decided, or read as of now.
    var canDecide: Bool { decider != nil }

    private var decider: Replica? {
        guard let leader, isLiving(leader),
            leader.configuration.hasQuorum(livingVoterCount(for: leader))
        else { return nil }
        return leader
    }

    /// How much of the log some living member can tell.
    var readableCount: Int { living.map(\.committedCount).max() ?? 0 }

    /// The members as everybody will know them.
    var configuration: Configuration { configurations[configurations.count - 1].1 }

    /// A change is written down whose end nobody knows.
    var isChanging: Bool {
        world.peers.compactMap(\.member).contains { replica in
            replica.log.dropFirst(committed.count).contains {
                if case .change = $0.content { true } else { false }
            }
        }
    }

    /// The members as of now.
    func currentList() -> [EtcdMember]? { canDecide ? configuration.members : nil }

    /// The members as any living one tells them, which may be behind.
    func anyList() -> [EtcdMember]? {
        let living = living
        guard !living.isEmpty else { return nil }
        return living[world.random(0...living.count - 1)].configuration.members
    }

    /// None of the members that it knows is there.
    func isForgotten(_ replica: Replica) -> Bool {
        configuration.removed.contains(replica.id)
            && !living.contains { $0 !== replica && replica.knows($0) }
    }

    func leads(_ replica: Replica) -> Bool { replica === leader && isLiving(replica) }

    /// Whether a member is there, and knows who leads, as another peer can tell.
    func answers(_ member: EtcdMember, to peer: SimulatedPeer) -> Bool {
        guard !member.clientURLs.isEmpty, peer.reachesLog, let leader, isLiving(leader),
            let replica = living.first(where: { $0.id == member.id })
        else { return false }
        return !world.isCut(peer.number, replica.peer.number) && canReach(leader, replica)
    }

    // MARK: Life of members

    /// Begins an etcd of one member.
    func begin(on peer: SimulatedPeer) -> Replica {
        let replica = add(on: peer, as: makeID(), contacts: [])
        let own = EtcdMember(
            id: replica.id, name: peer.name, peerURLs: [peer.memberURL],
            clientURLs: [peer.clientURL], isLearner: false)
        write(.change(.add(own)), by: replica)
        commit(replica.log[0], at: 0)
        learn(replica, 1)
        return replica
    }

    /// Starts a member that the others have added.
    func join(_ peer: SimulatedPeer, as id: UInt64, of members: [EtcdMember]) -> Replica {
        add(on: peer, as: id, contacts: members)
    }

    private func add(on peer: SimulatedPeer, as id: UInt64, contacts: [EtcdMember]) -> Replica {
        let replica = Replica(id, on: peer, contacts: contacts)
        start(replica)
        return replica
    }

    func start(_ replica: Replica) {
        replica.isRunning = true
        replica.wasRemoved = false
    }

    func stop(_ replica: Replica) {
        replica.isRunning = false
        if replica === leader { leader = nil }
    }

    private func makeID() -> UInt64 {
        memberCount += 1
        return memberCount
    }

    /// What happens all the time: the leader is heard, or another one elected.
    func beat() {
        endRemoved()
        if let decider {
            replicate(from: decider)
            nameMembers()
        } else if world.random(0...3) == 0 {
            elect()
        }
        world.after(world.random(150...450), "etcd") { [unowned self] in beat() }
    }

    /// A member that was removed hears so from one that knows.
    private func endRemoved() {
        for replica in living {
            let isTold = living.contains { other in
                other.configuration.removed.contains(replica.id) && canReach(replica, other)
                    && replica.knows(other)
            }
            guard isTold else { continue }
            stop(replica)
            replica.wasRemoved = true
        }
    }

    private func nameMembers() {
        guard let leader, let nameless = leader.configuration.members.first(where: \.name.isEmpty),
            let replica = living.first(where: { $0.id == nameless.id }),
            replica.committedCount == leader.committedCount
        else { return }
        world.provokeLoss(byMemberOf: replica.peer, under: leader.peer)
        propose(.change(.name(replica.id, as: replica.peer.name)))
    }

    // MARK: Elections

    private func elect() {
        leader = nil
        let able = living.filter { $0.configuration.voters.contains($0.id) }
        guard !able.isEmpty else { return }
        campaign(able[world.random(0...able.count - 1)])
    }

    private func campaign(_ candidate: Replica) {
        let next = candidate.term + 1
        var voteCount = 0
        for voter in living
        where candidate.configuration.voters.contains(voter.id) && canReach(candidate, voter) {
            guard voter.term < next else {
                candidate.term = voter.term
                return
            }
            voter.term = next
            if voter.log.count < heldCounts[voter.id, default: 0] {
                world.report("peer \(voter.peer.number) votes and has lost what it had")
            }
            if voter === leader { leader = nil }
            let isNewer =
                (candidate.lastTerm, candidate.log.count) >= (voter.lastTerm, voter.log.count)
            if isNewer { voteCount += 1 }
        }
        guard candidate.configuration.hasQuorum(voteCount) else { return }
        if candidate.log.count < committed.count
            || candidate.log[committed.count - 1].number != committed[committed.count - 1]
        {
            world.report("peer \(candidate.peer.number) leads and does not know what was decided")
        }
        leader = candidate
        world.count(.election)
        world.leaderChanged()
        propose(.nothing)
    }

    // MARK: The log

    /// Whether the leader, if there is one, has brought it to most voters. It may be committed later too.
    @discardableResult
    func propose(_ content: Content) -> Bool {
        guard let leader, isLiving(leader) else { return false }
        write(content, by: leader)
        let place = leader.log.count
        replicate(from: leader)
        return leader.committedCount >= place
    }

    private func write(_ content: Content, by replica: Replica) {
        writtenCount += 1
        replica.log.append(Entry(number: writtenCount, content: content))
        replica.lastTerm = replica.term
    }

    private func replicate(from leader: Replica) {
        let reached = living.filter { other in
            other !== leader && canReach(leader, other)
                && leader.configuration.members.contains { $0.id == other.id }
        }
        // Whoever has voted for a later one obeys no more, and says so.
        if reached.contains(where: { $0.term > leader.term }) {
            if self.leader === leader { self.leader = nil }
            return
        }
        for other in reached { send(from: leader, to: other) }
        let holders = Set(reached.map(\.id)).union([leader.id])
        while leader.committedCount < leader.log.count, leader.lastTerm == leader.term {
            let voters = leader.configuration.voters
            guard leader.configuration.hasQuorum(voters.intersection(holders).count) else { break }
            let place = leader.committedCount
            commit(leader.log[place], at: place)
            learn(leader, place + 1)
        }
        for other in reached where other.committedCount < leader.committedCount {
            learn(other, leader.committedCount)
        }
    }

    private func send(from leader: Replica, to other: Replica) {
        if other.log.count < heldCounts[other.id, default: 0] {
            // As what etcd then ends with.
            world.report("the member of peer \(other.peer.number) has lost what it had")
        }
        var common = min(leader.log.count, other.log.count)
        while common > 0, leader.log[common - 1].number != other.log[common - 1].number {
            common -= 1
        }
        if common < other.committedCount {
            world.report("peer \(other.peer.number) has to take back what was decided")
        }
        if common < other.log.count { other.log.removeSubrange(common...) }
        other.log += leader.log[common...]
        other.lastTerm = leader.lastTerm
        other.term = leader.term
    }

    private func learn(_ replica: Replica, _ count: Int) {
        replica.committedCount = count
        heldCounts[replica.id] = count
        guard let known = configurations.last(where: { $0.count <= count }) else { return }
        replica.configuration = known.1
    }

    private func commit(_ entry: Entry, at place: Int) {
        guard place == committed.count else {
            if committed[place] != entry.number {
                world.report("two leaders have decided differently")
            }
            return
        }
        committed.append(entry.number)
        switch entry.content {
        case .nothing: break
        case .command(let command, let id, let time):
            world.append(command, id, time, place: committed.count)
        case .change(let change): apply(change)
        case .announcement(let peer, let url):
            announcements[peer] = Announcement(url: url, revision: committed.count)
        case .withdrawal(let peer, let revision):
            if announcements[peer]?.revision == revision { announcements[peer] = nil }
        }
    }

    private func apply(_ change: Change) {
        var next = configuration
        switch change {
        case .add(let member): next.members.append(member)
        case .promote(let id):
            for index in next.members.indices where next.members[index].id == id {
                next.members[index].isLearner = false
            }
        case .remove(let id):
            guard next.members.contains(where: { $0.id == id }) else { return }
            next.members.removeAll { $0.id == id }
            next.removed.insert(id)
        case .name(let id, let name):
            for index in next.members.indices where next.members[index].id == id {
                let url = next.members[index].peerURLs[0]
                next.members[index].name = name
                next.members[index].clientURLs = [SimulatedPeer.clientURL(of: url)]
            }
        }
        next.voters = Set(next.members.filter { !$0.isLearner }.map(\.id))
        if next.members.count(where: \.isLearner) > 1 { world.report("there are two learners") }
        if next.voters.isEmpty { world.report("nobody votes any more") }
        configurations.append((committed.count, next))
    }

    // MARK: Changes of members, refused as etcd 3.4 refuses them

    private func isChanging(_ leader: Replica) -> Bool {
        leader.log.dropFirst(leader.committedCount).contains {
            if case .change = $0.content { true } else { false }
        }
    }

    private func voterIsHealthy(_ id: UInt64, by leader: Replica) -> Bool {
        living.contains {
            $0.id == id && canReach(leader, $0)
                && world.now - $0.peer.reachableSince >= Self.healthTime
        }
    }

    func addLearner(_ url: String) -> Bool {
        guard let leader, isLiving(leader), !isChanging(leader),
            leader.configuration.learner == nil,
            !leader.configuration.members.contains(where: { $0.peerURLs.contains(url) }),
            leader.configuration.voters.allSatisfy({ voterIsHealthy($0, by: leader) })
        else { return false }
        return propose(
            .change(
                .add(
                    EtcdMember(
                        id: makeID(), name: "", peerURLs: [url], clientURLs: [], isLearner: true))))
    }

    func promote(_ id: UInt64) -> Bool {
        guard let leader, isLiving(leader), !isChanging(leader),
            leader.configuration.learner?.id == id,
            let replica = world.peers.compactMap(\.member).first(where: { $0.id == id }),
            replica.log.count * 10 >= leader.log.count * 9
        else { return false }
        return propose(.change(.promote(id)))
    }

    func remove(_ id: UInt64) -> Bool {
        guard let leader, isLiving(leader), !isChanging(leader),
            leader.configuration.members.contains(where: { $0.id == id })
        else { return false }
        let voters = leader.configuration.voters
        // What it believes of its connections may be old.
        if voters.contains(id), voterIsHealthy(id, by: leader), world.random(0...3) > 0 {
            let healthyCount = voters.count { voterIsHealthy($0, by: leader) }
            guard healthyCount - 1 >= 1 + (voters.count - 1) / 2 else { return false }
        }
        return propose(.change(.remove(id)))
    }

    func handOver(to id: UInt64) {
        guard let leader = decider, let heir = living.first(where: { $0.id == id }),
            canReach(leader, heir), leader.configuration.voters.contains(id)
        else { return }
        replicate(from: leader)
        campaign(heir)
    }
}
