import Multiformats
import Pinset

/// Replays what a peer has archived and checks after every command what must never happen.
package struct StateAudit: Sendable {
    /// Commands that were replayed.
    package private(set) var commandCount = 0
    /// The state at the end of the archive.
    package private(set) var appliedIndex = LogIndex.beforeFirst
    package private(set) var digest: [UInt8] = []
    /// The largest share of a capacity that was ever used or reserved, in millionths.
    package private(set) var fullestMillionths = 0

    private var levels: [PeerID: Int] = [:]

    /// Replays the archive of a peer that does not run.
    ///
    /// - Throws: `StateAuditError` for the first command that broke a rule, and when the archive does not
    ///   lead to the state that was saved.
    package init(of store: StateStore, snapshots: SnapshotFiles) async throws {
        let replayed = try await replayArchive(of: store, from: snapshots) { state in
            try look(at: state)
        }
        // The first state was before any command.
        commandCount -= 1
        appliedIndex = replayed.appliedIndex
        digest = replayed.digest()
        if let finding = replayed.checkInvariants().first {
            throw StateAuditError.unsound(finding)
        }
        let saved = try store.loadState()
        guard saved.appliedIndex == appliedIndex, saved.digest() == digest else {
            throw StateAuditError.differs(saved: saved.appliedIndex, replayed: appliedIndex)
        }
    }

    private mutating func look(at state: PinsetState) throws {
        commandCount += 1
        for peer in state.members {
            let level = peer.usedByteCount + peer.reservedByteCount
            defer { levels[peer.peer] = level }
            // A capacity may shrink below what is there; then no command may add to it.
            if level > peer.capacityByteCount, level > levels[peer.peer] ?? 0 {
                throw StateAuditError.overfull(
                    peer.peer, index: state.appliedIndex, level: level,
                    capacity: peer.capacityByteCount)
            }
            if peer.capacityByteCount > 0, level <= peer.capacityByteCount {
                let share = level * 1_000_000 / peer.capacityByteCount
                fullestMillionths = max(fullestMillionths, share)
            }
        }
    }
}

/// What a replay found.
package enum StateAuditError: Error, CustomStringConvertible {
    case overfull(PeerID, index: LogIndex, level: Int, capacity: Int)
    case unsound(String)
    case differs(saved: LogIndex, replayed: LogIndex)

    package var description: String {
        switch self {
        case .overfull(let peer, let index, let level, let capacity):
            """
            the command at log index \(index) raised what peer \(peer) has used and reserved to \
            \(level) bytes, above its capacity of \(capacity)
            """
        case .unsound(let finding): "the state contradicts itself: \(finding)"
        case .differs(let saved, let replayed):
            """
            the saved state (log index \(saved)) is not the one its archive leads to (log index \
            \(replayed)); take the state of another peer
            """
        }
    }
}
