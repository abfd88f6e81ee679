import Pinset

/// Applies archived commands to the empty state, or to a snapshot where the archive begins later, up
/// to `last` or to the end of the archive.
///
/// What comes out is what the peer had at that index, so its digest, its decisions and its history
/// can be checked and asked about later.
///
/// - Parameter visit: Sees the state the replay begins with, and the one after each command.
/// - Throws: `StateReplayError`, or `StateStoreError` when the archive cannot be read.
package func replayArchive(
    of store: StateStore, from snapshots: SnapshotFiles? = nil, through last: LogIndex? = nil,
    visit: (PinsetState) throws -> Void = { _ in }
) async throws -> PinsetState {
    let trimmed = try await store.archiveTrimmedThrough()
    var state = PinsetState()
    if trimmed != .beforeFirst {
        guard let found = try snapshots?.newest(from: trimmed, through: last) else {
            throw StateReplayError.trimmed(through: trimmed)
        }
        state = found
    }
    try visit(state)
    while true {
        // Bounded slices: a long archive is never in memory, nor read in one transaction.
        let entries = try await store.archivedEntries(after: state.appliedIndex, limit: 1_000)
        if entries.isEmpty { return state }
        for entry in entries {
            if let last, entry.index > last { return state }
            let command: Command
            do {
                command = try Command(decoding: entry.commandBytes)
            } catch {
                throw StateReplayError.undecodable(index: entry.index, cause: error)
            }
            _ = state.apply(
                command, requestID: entry.requestID, logTime: entry.time, logIndex: entry.index)
            try visit(state)
        }
        // Nobody saves these; undrained they would grow with the history.
        _ = state.drainChanges()
    }
}

/// Why the archive does not lead to a state.
package enum StateReplayError: Error, Equatable, Sendable, CustomStringConvertible {
    case trimmed(through: LogIndex)
    case undecodable(index: LogIndex, cause: WireError)

    package var description: String {
        switch self {
        case .trimmed(let index):
            """
            the archive begins after log index \(index), and there is no snapshot that it continues; \
            ask another peer
            """
        case .undecodable(let index, let cause):
            "the archived command at log index \(index) cannot be read: \(cause)"
        }
    }
}
