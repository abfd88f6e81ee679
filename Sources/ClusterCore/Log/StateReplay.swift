import Pinset

/// Applies archived commands to the empty state, up to `last` or to the end of the archive.
///
/// What comes out is what the peer had at that index, so its digest, its decisions and its history
/// can be checked and asked about later.
///
/// - Throws: `StateReplayError`, or `StateStoreError` when the archive cannot be read.
package func replayArchive(
    of store: StateStore, through last: LogIndex? = nil
) async throws -> PinsetState {
    let trimmed = try await store.archiveTrimmedThrough()
    guard trimmed == .beforeFirst else { throw StateReplayError.trimmed(through: trimmed) }
    var state = PinsetState()
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
            the archive begins after log index \(index), older commands were trimmed; raise the \
            archive's retention to replay from the beginning
            """
        case .undecodable(let index, let cause):
            "the archived command at log index \(index) cannot be read: \(cause)"
        }
    }
}
