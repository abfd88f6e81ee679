import Multiformats
import Pinset
import ShardPlanner

/// One peer: its disk, which outlives it, and what one life of its process knows.
final class SimulatedPeer {
    static let leaseTime = 10_000
    static let fastDisk = 1...10
    /// How long a command whose outcome is unknown is repeated, unless it must be known.
    private static let patience = 15_000

    /// Where it is for an operator.
    enum Presence {
        /// It has not been started yet.
        case awaited
        case here
        /// It was removed and has ended by itself.
        case stopped
        /// The machine or its directory is gone for good.
        case lost
    }

    let number: Int
    /// Another directory on the same machine has the same URLs.
    let machine: Int
    let id: PeerID
    /// Of its member.
    let name: String
    let storageID: StorageID
    let capacityByteCount: Int
    let clockSkew: Int
    unowned let world: World
    var presence = Presence.awaited
    /// It begins the cluster.
    var isFounder = false
    var disk = SimulatedDisk()
    /// What its etcd has on the disk.
    var member: SimulatedVoters.Replica?
    var diskDelay = SimulatedPeer.fastDisk
    var diskIsFull = false
    var reachesLog = true {
        didSet { if reachesLog, !oldValue { reachableSince = world.now } }
    }
    /// Since when other members see its own.
    private(set) var reachableSince = 0
    /// When others last had a sign of it.
    private(set) var renewedAt = -SimulatedPeer.leaseTime

    // One life.
    private(set) var life = 0
    private(set) var isRunning = false
    /// It has caught up, joined and looked through its disk.
    private(set) var isReady = false
    /// It was removed from the cluster, and votes on until the others can agree without it.
    private(set) var isLeaving = false
    private(set) var state = PinsetState()
    private var pending: [RequestID: Pending] = [:]
    var sessions: [UploadID: SimulatedSession] = [:]
    /// Uploads that somebody works on.
    var live: Set<UploadID> = []
    /// When somebody last asked for an upload.
    var touched: [UploadID: Int] = [:]
    var claims: [Copy: Int] = [:]
    /// Number of the last claim on a copy.
    var lastClaim: [Copy: Int] = [:]
    var claimCount = 0
    /// Copies whose last claim has just ended.
    var releasing: [Copy: Int] = [:]
    /// Claimed copies that have just got another name.
    var renewing: Set<Copy> = []
    /// Files of shards that had no copy at the start, which may be the last; the next start looks again.
    var kept: Set<Copy> = []
    /// Of a shard there may be several generations.
    var received: [Place: Set<Copy>] = [:]
    var arriving: Set<Place> = []
    var removing: Set<Copy> = []
    var repair = RepairState()
    /// Its URL is among the announced ones.
    var isAnnounced = false
    var isSteering = false
    private var isLooking = false
    private var mustLookAgain = false
    /// Peers that did not answer, and until when that counts.
    private var silentUntil: [PeerID: Int] = [:]
    private var isSayingUp = false
    private var missing: Set<PeerID> = []

    struct Pending {
        let command: Command
        let deadline: Int?
        let answer: (Outcome?) -> Void
    }

    init(_ number: Int, on machine: Int, capacityByteCount: Int, clockSkew: Int, in world: World) {
        self.number = number
        self.machine = machine
        self.capacityByteCount = capacityByteCount
        self.clockSkew = clockSkew
        self.world = world
        let key = (0..<32).map { UInt8(truncatingIfNeeded: $0 * 7 + number * 31 + 1) }
        guard let id = try? PeerID(publicKey: key) else { fatalError("a key has 32 bytes") }
        self.id = id
        name = id.description
        storageID = StorageID(high: 1, low: UInt64(number))
    }

    /// Something this process does later; nothing when it has ended by then.
    func after(_ delay: Int, _ label: StaticString, _ body: @escaping () -> Void) {
        world.after(delay, label) { [self, life] in
            if isRunning, self.life == life { body() }
        }
    }

    /// A step of the disk. `body` is told whether there was room.
    func onDisk(
        _ label: StaticString, needsRoom: Bool = false, _ body: @escaping (Bool) -> Void
    ) {
        after(world.random(diskDelay), label) { [self] in
            let isMet = needsRoom && diskIsFull
            if isMet { world.count(.fullDisk) }
            body(!isMet)
        }
    }

    // MARK: Life

    func start() {
        presence = .here
        life += 1
        isRunning = true
        isReady = false
        isLeaving = false
        isAnnounced = false
        isSteering = false
        reachableSince = world.now
        state = disk.loadState()
        pending = [:]
        sessions = [:]
        live = []
        touched = [:]
        claims = [:]
        lastClaim = [:]
        claimCount = 0
        releasing = [:]
        renewing = []
        silentUntil = [:]
        kept = []
        received = [:]
        arriving = []
        removing = []
        repair = RepairState()
        missing = []
        isLooking = false
        mustLookAgain = false
        isSayingUp = false
        if world.mistake != .trustsFormerNames { disk.synchronizeNames() }
        for place in disk.markers.keys.sorted() {
            received[place] = disk.markers[place].map(claimAll)
        }
        every(1000, "poll") { [self] in follow() }
        every(1000, "member") { [self] in tendMember() }
        every(2000, "steer") { [self] in steer() }
        every(3000, "lease") { [self] in
            if reachesLog, world.voters.canDecide { renewedAt = world.now }
        }
        every(3000, "who is there") { [self] in reportLostPeers() }
        every(2000, "repair") { [self] in lookForRepairs() }
        every(10_000, "sweep") { [self] in sweepUploads() }
        catchUp()
    }

    func crash() {
        isRunning = false
        isReady = false
        isLeaving = false
        if let member { world.voters.stop(member) }
        for session in sessions.values { session.vanish() }
    }

    /// Ends by itself, as one that is no member.
    func end() {
        crash()
        presence = .stopped
    }

    private func every(_ pause: Int, _ label: StaticString, _ body: @escaping () -> Void) {
        after(world.random(0...pause), label) { [self] in
            body()
            every(pause, label, body)
        }
    }

    private func catchUp() {
        guard reachesLog, world.voters.canDecide else {
            return after(300, "catch up") { [self] in catchUp() }
        }
        let newest = world.newestIndex
        follow()
        waitUntilApplied(newest) { [self] in
            performPersistently(
                .joinPeer(
                    PeerJoin(
                        peer: id, name: "\(number)", zone: machine == 4 ? nil : "z\(machine % 3)",
                        storageID: storageID,
                        capacityByteCount: state.peer(id)?.capacityByteCount ?? capacityByteCount))
            ) { [self] outcome in
                if let refusal = outcome?.refusal { return world.report("cannot join: \(refusal)") }
                putInOrder { [self] in
                    isReady = true
                    leaveIfRemoved()
                    sayUp()
                    look()
                }
            }
        }
    }

    private func leaveIfRemoved() {
        guard isReady, state.peer(id) == nil else { return }
        isReady = false
        isLeaving = true
        leave()
    }

    func waitUntilApplied(_ index: LogIndex, _ body: @escaping () -> Void) {
        if state.appliedIndex >= index { return body() }
        after(100, "wait for the log") { [self] in waitUntilApplied(index, body) }
    }

    // MARK: The log

    /// Applies what there is, a few commands at a time.
    func follow() {
        guard reachesLog else { return }
        let entries = world.entries(after: state.appliedIndex)
        guard let last = entries.last else { return }
        var outcomes: [(RequestID, Outcome)] = []
        for entry in entries {
            if world.mistake == .skipsCommand, world.random(1...200) == 1, entry.index < last.index
            {
                continue
            }
            let (outcome, _) = state.apply(
                entry.command, requestID: entry.requestID, logTime: entry.time,
                logIndex: entry.index)
            outcomes.append((entry.requestID, outcome))
            if world.mistake == .appliesTwice, world.random(1...100) == 1 {
                _ = state.apply(
                    entry.command, requestID: makeRequestID(), logTime: entry.time,
                    logIndex: LogIndex(rawValue: entry.index.rawValue + 1))
            }
        }
        disk.save(
            state.drainChanges(),
            leavingOut: world.mistake == .savesWithoutRequests ? .request : nil)
        if world.random(0...63) == 0 { world.checkState(of: self) }
        for (request, outcome) in outcomes {
            pending.removeValue(forKey: request)?.answer(outcome)
        }
        leaveIfRemoved()
        sayUp()
        look()
        after(1, "more of the log") { [self] in
            if state.appliedIndex < world.newestIndex { follow() }
        }
    }

    private func makeRequestID() -> RequestID {
        RequestID(
            proposerIndex: state.appliedIndex, high: world.random.next(), low: world.random.next())
    }

    /// Appends a command; the answer is `nil` when its outcome stays unknown.
    func perform(_ command: Command, _ answer: @escaping (Outcome?) -> Void) {
        propose(
            makeRequestID(),
            Pending(command: command, deadline: world.now + Self.patience, answer: answer))
    }

    /// Appends a command, however long that takes.
    func performPersistently(_ command: Command, _ answer: @escaping (Outcome?) -> Void) {
        guard isRunning else { return }
        propose(makeRequestID(), Pending(command: command, deadline: nil, answer: answer))
    }

    private func propose(_ request: RequestID, _ one: Pending) {
        pending[request] = one
        world.propose(one.command, as: request, by: self)
        after(world.random(1000...2500), "no answer") { [self] in
            guard pending[request] != nil else { return }
            if let deadline = one.deadline, world.now >= deadline {
                pending[request] = nil
                return one.answer(nil)
            }
            propose(request, one)
        }
    }

    // MARK: Who is there

    private func sayUp() {
        guard isReady, let record = state.peer(id), record.status != .up, !isSayingUp else {
            return
        }
        isSayingUp = true
        performPersistently(.setPeerStatus(id, .up)) { [self] _ in isSayingUp = false }
    }

    private func reportLostPeers() {
        guard reachesLog, isReady, world.voters.canDecide else {
            missing = []
            return
        }
        let up = Set(state.members.filter { $0.status == .up }.map(\.peer))
        let gone = up.subtracting(world.livePeers).subtracting([id])
        // Twice in a row: one that comes back joins a moment before it can be seen.
        for peer in gone.intersection(missing).sorted() {
            performPersistently(.setPeerStatus(peer, .down(since: state.logTime))) { _ in }
        }
        missing = gone
    }

    func isSilent(_ peer: PeerID) -> Bool { world.now < silentUntil[peer, default: 0] }

    /// A call to another peer was answered, or not in time.
    func noteAnswer(of peer: PeerID, came: Bool) {
        silentUntil[peer] = came ? nil : world.now + Self.leaseTime
    }

    // MARK: Looks at the disk

    /// Looks soon whether disk and state agree, when the look before has ended.
    func look() {
        guard isReady else { return }
        mustLookAgain = true
        guard !isLooking else { return }
        isLooking = true
        after(world.random(1...50), "look") { [self] in
            mustLookAgain = false
            reconcile { [self] in
                isLooking = false
                if mustLookAgain { look() }
            }
        }
    }
}
