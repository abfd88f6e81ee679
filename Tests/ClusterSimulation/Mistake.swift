/// A deliberate error of the peers under simulation. The checks must catch each of them.
enum Mistake: String, CaseIterable, Sendable {
    // Shards on their way
    case receiptBeforeSync
    case receiptBeforeName
    case forgetsMarker
    // The log
    case appliesTwice
    case skipsCommand
    case savesWithoutRequests
    // What is on disk
    case confirmsBeforeRemoval
    case confirmsBeforeSync
    case forgetsDrops
    case releasesListedCopies
    case sweepsClaimedCopies
    case sweepsTooEarly
    case claimsNewestOnly
    case renamesClaimedCopies
    case trustsFormerNames
    // Uploads
    case skipsReservation
    case writesBeyondReservation
    case acknowledgesBeforeSync
    case acknowledgesBeforeJournal
    case dropsJournalRecord
    case takesWrongOffset
    case forgesReceipt
    case answersBeforeCommit
    case commitsBeforeRecord
    case leavesOrphans
    // Repair
    case neverRepairs
    case forgetsToEndRepairs
    // Members
    case removesWithoutQuorum
    case leavesAtOnce
    case neverHandsOver
    case votesAfterLoss
    case believesOldLists
    case keepsFormerMember

    /// A seed that catches an error which few do. It is tried first; who changes the world may have to
    /// search again.
    var likelySeed: UInt64? {
        switch self {
        case .sweepsTooEarly: 364
        case .trustsFormerNames: 123
        case .claimsNewestOnly: 1140
        case .confirmsBeforeSync: 1265
        case .believesOldLists: 85
        default: nil
        }
    }

    /// What is wrong, for people.
    var explanation: String {
        switch self {
        case .receiptBeforeSync: "a receiver signs before the bytes of its file are synced"
        case .receiptBeforeName: "a receiver signs before the name of its file is synced"
        case .forgetsMarker: "a receiver makes no note of a shard before its first byte"
        case .appliesTwice: "a peer applies a command twice"
        case .skipsCommand: "a peer leaves out a command"
        case .savesWithoutRequests: "a peer does not save which requests it has answered"
        case .confirmsBeforeRemoval: "a peer confirms a drop whose file is still there"
        case .confirmsBeforeSync: "a peer confirms a drop that a power cut would undo"
        case .forgetsDrops: "a peer does not drop what nobody needs"
        case .releasesListedCopies: "a peer removes copies of an ended upload that the state lists"
        case .sweepsClaimedCopies: "a start removes what an open upload has brought"
        case .sweepsTooEarly:
            "a start removes files before uploads of the former process have ended"
        case .claimsNewestOnly:
            "a start claims only the newest of several copies that open uploads have brought"
        case .renamesClaimedCopies:
            "a copy gets another name while a second upload relies on the first"
        case .trustsFormerNames: "a start relies on names that a killed process has not synced"
        case .skipsReservation: "a coordinator writes a shard that no space was promised for"
        case .writesBeyondReservation: "a coordinator writes more of a shard than was promised"
        case .acknowledgesBeforeSync: "an offset is acknowledged before the shard file is synced"
        case .acknowledgesBeforeJournal: "an offset is acknowledged before the journal has it"
        case .dropsJournalRecord: "a record of the journal is left out"
        case .takesWrongOffset: "bytes of a wrong offset are taken"
        case .forgesReceipt: "a peer that did not answer is counted as a holder"
        case .answersBeforeCommit: "a root is told before it is committed"
        case .commitsBeforeRecord: "a root is committed before its record is written"
        case .leavesOrphans: "uploads of a former process are not ended"
        case .neverRepairs: "lost copies are not made again"
        case .forgetsToEndRepairs: "the upload of a repair is not ended"
        case .removesWithoutQuorum: "a vote is taken away that the others need to agree"
        case .leavesAtOnce: "a removed peer stops while its vote is needed"
        case .neverHandsOver: "a removed peer leads on"
        case .votesAfterLoss: "a member that has lost its data votes as before"
        case .believesOldLists:
            "a peer without data takes its member for new by the list of one that is behind"
        case .keepsFormerMember: "a peer keeps what its etcd had when it was removed"
        }
    }
}
