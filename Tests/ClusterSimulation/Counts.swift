/// What a run was made of.
struct Counts: CustomStringConvertible {
    /// What never happens is not checked, so in many runs each of these must.
    enum Kind: String, CaseIterable {
        case event = "events"
        case crash = "crashes"
        case powerCut = "of them power cuts"
        case lateCommand = "commands of processes that have died"
        case cutLink = "links cut"
        case commit = "commits"
        case resumedUpload = "uploads resumed"
        case reclaimedCopy = "copies of theirs found again"
        case abortedUpload = "given up by their coordinators"
        case suspendedUpload = "left to a later session"
        case orphan = "ended as nobody's"
        case abandonedUpload = "ended as abandoned"
        case refusedUpload = "refused for space"
        case fullDisk = "met a full disk"
        case extendedReservation = "reservations extended"
        case refusedExtension = "not extended"
        case movedShard = "shards allocated again"
        case avoidedPeer = "of them around silent peers"
        case renewedCopy = "copies renewed"
        case linkedCopy = "of them under two names"
        case releasedCopy = "removed as nobody's"
        case droppedCopy = "dropped"
        case repairedCopy = "repaired"
        case unpin = "removals of roots"
        case election = "elections"
        case voterStep = "steps of voters"
        case join = "peers joined"
        case removedPeer = "removed"
        case returnedPeer = "back"
        case lostPeer = "lost"
        case lostEtcd = "etcds lost"
        /// One seed in some hundreds comes to this.
        case freedPeer = "freed of a member that nobody knows"
    }

    private var values: [Kind: Int] = [:]

    subscript(kind: Kind) -> Int { values[kind, default: 0] }

    mutating func add(_ kind: Kind) { values[kind, default: 0] += 1 }

    static func += (left: inout Counts, right: Counts) {
        left.values.merge(right.values, uniquingKeysWith: +)
    }

    /// What has not happened once in many runs.
    var missing: [Kind] { Kind.allCases.filter { self[$0] == 0 && $0 != .freedPeer } }

    var description: String {
        Kind.allCases.map { "\(self[$0]) \($0.rawValue)" }.joined(separator: ", ")
    }
}
