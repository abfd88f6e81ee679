import Foundation
import Pinset

/// Where a peer's state stands in the log.
package struct LogPosition: Equatable, Sendable {
    /// Applied and saved on this peer.
    package var applied: LogIndex
    /// The newest index this peer has heard of; the difference is what a plain read may miss.
    package var newestKnown: LogIndex
}

/// A digest of the whole state; equal on all peers that have applied the same commands.
package struct StateDigest: Equatable, Sendable {
    package var appliedIndex: LogIndex
    package var digest: [UInt8]
}

extension PinsetState {
    mutating func apply(_ entry: LogEntry) -> (Outcome, [Effect]) {
        apply(
            entry.proposal.command, requestID: entry.proposal.requestID,
            logTime: entry.proposal.time, logIndex: entry.index)
    }
}

extension LogTime {
    /// The wall clock of this machine, for proposals.
    package static func wallClock() -> LogTime {
        let milliseconds = Date().timeIntervalSince1970 * 1_000
        return LogTime(millisecondsSinceEpoch: UInt64(max(0, milliseconds)))
    }
}
