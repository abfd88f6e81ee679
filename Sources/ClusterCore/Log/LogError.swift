import Pinset

/// Why a command has no outcome. A refusal by the state itself is an outcome, not one of these.
package enum LogError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The command is not in the log and never will be.
    case refused(RequestID, LogRefusal)
    /// The command may be in the log. Repeating it under the same request ID is safe and tells.
    case unknownOutcome(RequestID, cause: String)
    /// This peer has stopped applying commands; nothing was appended.
    case closed(cause: String)
    /// The engine does not answer now, so nothing newer than the local state can be told.
    case unavailable(cause: String)
    /// The entries this peer needs next are no longer in the log.
    case trimmed(after: LogIndex)
    /// The log has lost commands that this peer has applied.
    case setBack(to: LogIndex, applied: LogIndex)
    /// The log is not the one the state on this disk was built from.
    case foreignHistory(found: LogHistory, expected: LogHistory)

    /// Another attempt may succeed: the engine does not answer at the moment.
    var isPassing: Bool {
        switch self {
        case .refused(_, .noQuorum), .unknownOutcome, .unavailable: true
        case .refused, .closed, .trimmed, .setBack, .foreignHistory: false
        }
    }

    package var description: String {
        switch self {
        case .refused(let requestID, let refusal):
            "request \(requestID) was not appended: \(refusal)"
        case .unknownOutcome(let requestID, let cause):
            """
            the outcome of request \(requestID) is unknown (\(cause)); repeat it under the same \
            request ID
            """
        case .closed(let cause):
            "the log is closed: \(cause); restart the daemon once the cause is gone"
        case .unavailable(let cause):
            """
            the log does not answer (\(cause)); a plain read of the local state is possible
            """
        case .trimmed(let index):
            """
            the log no longer holds the commands after index \(index); fetch a snapshot of the \
            state from another peer
            """
        case .setBack(let end, let applied):
            """
            the log ends at index \(end), and this peer has applied commands up to \(applied): etcd was \
            set back, by a disk or a copy of its data; recover the cluster from this peer's state with \
            ingestd recover --force-new-cluster, or from a peer that has applied more
            """
        case .foreignHistory(let found, let expected):
            """
            the log is history \(found.name), the state on this disk belongs to \(expected.name); \
            connect the log this peer belongs to, or, when the cluster was recovered on another peer, \
            follow it: ingestd recover --join HOST:PORT
            """
        }
    }
}

/// Why a log does not take a command.
package enum LogRefusal: Equatable, Sendable, CustomStringConvertible {
    case commandTooLarge(byteCount: Int, limit: Int)
    case noQuorum(cause: String)

    package var description: String {
        switch self {
        case .commandTooLarge(let byteCount, let limit):
            """
            it has \(byteCount) bytes, the limit is \(limit); split the work into several commands
            """
        case .noQuorum(let cause):
            """
            too few machines of the cluster answer (\(cause)); bring one back and repeat the request
            """
        }
    }
}
