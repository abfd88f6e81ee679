import Multiformats
import Pinset
import SeededRandom
import ShardPlanner

/// One cluster with its log, its network, its clients and its faults, on one thread, from one seed.
///
/// The state machine and the placement are those of the daemon; so are the order of steps and the rules
/// of upload sessions, deliveries, receivers, reconcilers and repair, which are written here anew without
/// threads, sockets and files. Times are in milliseconds.
final class World {
    /// Faults end then; what was begun must come to its end.
    private static let faultyTime = 90_000
    private static let patience = 400_000
    private static let clientCount = 4

    let mistake: Mistake?
    let isTraced: Bool
    var random: SeededGenerator
    private(set) var now = 0
    private(set) var trace = Trace()
    private var queue = EventQueue()

    private(set) var log: [LogEntry] = []
    private var knownRequests: Set<RequestID> = []
    /// The state by the whole log.
    private(set) var truth = PinsetState()
    /// All there ever were.
    private(set) var peers: [SimulatedPeer] = []
    private(set) lazy var voters = SimulatedVoters(in: self)
    /// Leases last at least from then on.
    private var ledSince = 0
    /// Shards whose last copies were given up with the machine that had them.
    private(set) var givenUp: Set<CID> = []
    /// Machines come and go, in most worlds. Among all that, some errors hardly ever show.
    let hasOperator: Bool
    /// Few: the same shards come, go and come again, sometimes several times at once.
    private(set) var datasets = 0...5
    private(set) var clients: [SimulatedClient] = []
    var cutLinks: Set<Set<Int>> = []
    /// Peers that an operator is about to remove or to bring back.
    var errands: Set<Int> = []
    var removalCount = 0
    /// Steps of voters that are on their way: who is lost meanwhile may be one too many.
    var voterStepCount = 0
    private(set) var isFaulty = true
    private(set) var findings: [String] = []
    private(set) var counts = Counts()

    struct LogEntry {
        let index: LogIndex
        /// How much etcd has committed with it.
        let place: Int
        let requestID: RequestID
        let time: LogTime
        let command: Command
    }

    init(seed: UInt64, mistake: Mistake? = nil, isTraced: Bool = false) {
        self.mistake = mistake
        self.isTraced = isTraced
        random = SeededGenerator(seed: seed)
        hasOperator = Int.random(in: 0...3, using: &random) > 0
        for machine in 0..<Int.random(in: 4...6, using: &random) { addPeer(on: machine) }
        peers[0].isFounder = true
        if random(0...1) == 0 { datasets = 2...2 }
        for number in 0..<Self.clientCount {
            clients.append(SimulatedClient(number, in: self))
        }
    }

    /// Runs to the end: all is at rest and as promised, or something is found.
    func run() {
        for peer in peers {
            // The cluster grows from one peer.
            let latest =
                hasOperator ? [0, 3000, 5000].dropFirst(peer.number).first ?? 25_000 : 3000
            after(random(0...latest), "power on") { peer.start() }
        }
        voters.beat()
        for client in clients { after(random(500...3000), "client") { client.begin() } }
        after(1000, "fault") { [unowned self] in self.provokeFault() }
        if hasOperator { after(15_000, "operator") { [unowned self] in self.operate() } }
        after(Self.faultyTime, "heal") { [unowned self] in self.heal() }
        while findings.isEmpty, let event = queue.next() {
            now = event.time
            counts.add(.event)
            trace.add(now, event.label)
            if isTraced { print("\(now) \(event.label)") }
            event.body()
        }
    }

    func report(_ finding: String) {
        findings.append("at \(now) ms: \(finding)")
        if isTraced { print("\(now) FOUND \(finding)") }
        queue.removeAll()
    }

    func count(_ kind: Counts.Kind) { counts.add(kind) }

    // MARK: Time and chance

    func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    /// Chance of a fault; none happens after the faulty time.
    func mishap(_ percent: Int) -> Bool {
        let drawn = random(1...100)
        return isFaulty && drawn <= percent
    }

    func after(_ delay: Int, _ label: StaticString, _ body: @escaping () -> Void) {
        queue.add(at: now + max(delay, 0), label, body)
    }

    // MARK: The network

    func isCut(_ one: Int, _ other: Int) -> Bool {
        !cutLinks.isEmpty && cutLinks.contains([one, other])
    }

    /// Brings a message to a peer late, twice or never.
    func send(
        from sender: Int?, to peer: SimulatedPeer, _ label: StaticString,
        _ body: @escaping (SimulatedPeer) -> Void
    ) {
        let copies = mishap(3) ? 2 : 1
        for _ in 0..<copies where !mishap(4) {
            after(random(1...(isFaulty ? 400 : 20)), label) { [unowned self] in
                if let sender, isCut(sender, peer.number) { return }
                if peer.isRunning { body(peer) }
            }
        }
    }

    /// Brings an answer back, late or never.
    func answer(_ label: StaticString, _ body: @escaping () -> Void) {
        if mishap(4) { return }
        after(random(1...(isFaulty ? 200 : 20)), label, body)
    }

    // MARK: The log

    var newestIndex: LogIndex { log.last?.index ?? .beforeFirst }

    func propose(_ command: Command, as id: RequestID, by peer: SimulatedPeer) {
        guard peer.reachesLog, !mishap(5) else { return }
        let time = LogTime(millisecondsSinceEpoch: UInt64(1_000_000 + now + peer.clockSkew))
        for _ in 0..<(mishap(5) ? 2 : 1) {
            // Some come when their process has died and another one has started.
            let isLate = mishap(10)
            if isLate, case .sealShard = command, random(0...1) == 0 {
                after(0, "worst moment") { [unowned self] in crash(peer, isShort: true) }
            }
            let life = peer.life
            let delay = isLate ? random(200...1500) : random(1...(isFaulty ? 300 : 10))
            after(delay, "append") { [unowned self] in
                if peer.life != life || !peer.isRunning { count(.lateCommand) }
                voters.propose(.command(command, id, time))
            }
        }
    }

    /// - Parameter place: How much etcd has committed with it.
    func append(_ command: Command, _ id: RequestID, _ time: LogTime, place: Int) {
        // As a key that is created only if it is absent.
        guard knownRequests.insert(id).inserted else { return }
        let index = LogIndex(rawValue: newestIndex.rawValue + UInt64(2 + random(0...2)))
        log.append(
            LogEntry(index: index, place: place, requestID: id, time: time, command: command))
        let before = truth.members
        let last = lastCopies(givenUpBy: command)
        let (outcome, _) = truth.apply(command, requestID: id, logTime: time, logIndex: index)
        _ = truth.drainChanges()
        trace.add(id, at: index, isRefused: outcome.refusal != nil)
        if isTraced { print("\(now) log \(index) \(command) -> \(outcome)") }
        if outcome.refusal == nil {
            givenUp.formUnion(last)
            checkTruth(since: before)
            if truth.members.count > before.count { count(.join) }
            if case .unpin = command { count(.unpin) }
            if case .forgetPeer = command {
                count(.removedPeer)
                checkCopiesAreLeft()
            }
        }
        for peer in peers where peer.isRunning {
            after(random(1...(isFaulty ? 300 : 10)), "watch") {
                if peer.isRunning { peer.follow() }
            }
        }
    }

    /// Entries after an index; how many of them at once is up to chance.
    func entries(after index: LogIndex) -> ArraySlice<LogEntry> {
        var (low, high) = (0, log.count)
        while low < high {
            let middle = (low + high) / 2
            if log[middle].index <= index { low = middle + 1 } else { high = middle }
        }
        let readable = voters.readableCount
        let batch = log[low..<min(log.count, low + random(1...8))]
        return batch.prefix { $0.place <= readable }
    }

    /// A new leader gives all leases their whole time.
    func leaderChanged() { ledSince = now }

    /// Peers whose lease has not run out.
    var livePeers: Set<PeerID> {
        Set(
            peers.filter { now - max($0.renewedAt, ledSince) < SimulatedPeer.leaseTime }
                .map(\.id))
    }

    func peer(_ id: PeerID) -> SimulatedPeer? { peers.first { $0.id == id } }

    /// Those that an operator runs, whether they run at this moment or not.
    var presentPeers: [SimulatedPeer] { peers.filter { $0.presence == .here } }

    /// A peer that can be asked, by chance.
    func anyPeer(besides other: SimulatedPeer? = nil) -> SimulatedPeer? {
        let able = peers.filter { $0.isReady && $0 !== other }
        return able.isEmpty ? nil : able[random(0...able.count - 1)]
    }

    func anyAddress() -> SimulatedPeer {
        let present = presentPeers
        return present.isEmpty ? peers[0] : present[random(0...present.count - 1)]
    }

    @discardableResult
    func addPeer(on machine: Int) -> SimulatedPeer {
        let peer = SimulatedPeer(
            peers.count, on: machine, capacityByteCount: random(12...60) * 1000,
            clockSkew: random(0...5000), in: self)
        peers.append(peer)
        return peer
    }

    // MARK: The end of faults

    private func heal() {
        isFaulty = false
        cutLinks = []
        for peer in peers {
            peer.reachesLog = true
            peer.diskDelay = SimulatedPeer.fastDisk
            peer.diskIsFull = false
            if peer.presence == .here, !peer.isRunning { peer.start() }
        }
        after(30_000, "operator") { [unowned self] in tidyUp() }
        after(40_000, "look for rest") { [unowned self] in lookForRest() }
    }

    /// Ends the run when nothing is left to do.
    private func lookForRest() {
        let unrest = findUnrest()
        if unrest.isEmpty { return queue.removeAll() }
        guard now < Self.faultyTime + Self.patience else {
            return report("no rest: \(unrest.joined(separator: "; "))")
        }
        after(5000, "look for rest") { [unowned self] in lookForRest() }
    }
}

/// What happened, as one number.
struct Trace: Equatable {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ time: Int, _ label: StaticString) {
        label.withUTF8Buffer { for byte in $0 { add(UInt64(byte)) } }
        add(UInt64(time))
    }

    mutating func add(_ other: Trace) { add(other.value) }

    mutating func add(_ request: RequestID, at index: LogIndex, isRefused: Bool) {
        for word in [request.low, index.rawValue, isRefused ? 1 : 0] { add(word) }
    }

    /// FNV-1a over words (Fowler, Noll and Vo).
    private mutating func add(_ word: UInt64) { value = (value ^ word) &* 0x100_0000_01b3 }
}

/// Events by time, and by the order in which they were added.
struct EventQueue {
    struct Event {
        let time: Int
        let number: Int
        let label: StaticString
        let body: () -> Void
    }

    /// A binary heap, the next event first.
    private var heap: [Event] = []
    private var count = 0

    mutating func add(at time: Int, _ label: StaticString, _ body: @escaping () -> Void) {
        count += 1
        heap.append(Event(time: time, number: count, label: label, body: body))
        var child = heap.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> Event? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if heap.isEmpty { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && isBefore(child, least) { least = child }
            if least == parent { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    mutating func removeAll() { heap = [] }

    private func isBefore(_ one: Int, _ other: Int) -> Bool {
        (heap[one].time, heap[one].number) < (heap[other].time, heap[other].number)
    }
}
