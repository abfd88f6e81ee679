import Multiformats
import Pinset

/// A shared log: every command once, in one order that all peers see.
///
/// This is all the replicated state needs from an engine. `SoloLog` gives the order on one machine;
/// an engine over a consensus service gives it to several. `PinsetDriver` applies what comes out and
/// answers the callers, so an engine knows nothing of outcomes or of the state.
///
/// An engine may deliver an entry again and may hold the same request ID twice under different
/// indices: the driver skips the first, the state remembers the second.
package protocol ClusterLog: Sendable {
    /// Which history of commands this is. A restored or foreign engine answers another one than the
    /// state was built from, and the peer stops by name.
    func history() async throws(LogError) -> LogHistory

    /// Asks for a place in the order, and waits for room or for the engine to accept.
    ///
    /// Returns when the command will come out of `nextEntries`, unless the process ends before that,
    /// or when it is in the log already and may have come out long ago.
    ///
    /// - Returns: Its place if it was in the log already; an engine need not notice.
    /// - Throws: `refused` when it is certain that the command never comes out, `unknownOutcome` when
    ///   it may: the caller repeats it under the same request ID.
    @discardableResult
    func propose(_ proposal: Proposal) async throws(LogError) -> LogIndex?

    /// The entries that follow `index`, in ascending order and at least one; waits until there are some.
    ///
    /// One caller at a time. All that is ready comes at once, up to a bound of the engine, so that a
    /// batch costs one transaction.
    ///
    /// - Throws: `trimmed` when entries after `index` are gone and a snapshot is needed, `closed`
    ///   when the engine was closed or the task was cancelled.
    func nextEntries(after index: LogIndex) async throws(LogError) -> [LogEntry]

    /// The newest place in the order that any command accepted before this call can have.
    ///
    /// A state that has applied it answers a linearizable read. It costs the engine a round of
    /// agreement where there are several machines.
    func newestIndex() async throws(LogError) -> LogIndex

    /// The newest index seen so far, without asking anyone: tells how far a plain read is behind.
    var newestKnownIndex: LogIndex { get }

    /// Peers that show they are there, with the addresses they gave; `nil` where no peer can be lost.
    ///
    /// Only a reason for a peer to append a command that says so: liveness enters the state through
    /// the log. The addresses serve who has no state yet.
    func livePeers() async throws(LogError) -> [PeerID: String]?

    /// Shows other peers that this one is there, by one lease after another, until the task is
    /// cancelled. Waits in silence where nobody can see it.
    ///
    /// - Parameters:
    ///   - address: HOST:PORT where others reach it, or nothing.
    ///   - began: Told of each lease once others can see it.
    /// - Throws: When another process lives under the same identity.
    func keepAlive(
        _ peer: PeerID, at address: String,
        began: @escaping @Sendable (_ lease: UInt64) async throws -> Void
    ) async throws

    /// Lets the engine forget entries up to and including `index`. Peers keep their archives.
    func trim(through index: LogIndex) async throws(LogError)

    /// Ends the engine: everyone who waits in it is released with `closed`.
    func close()
}

extension ClusterLog {
    /// For engines of one peer.
    package func livePeers() async throws(LogError) -> [PeerID: String]? { nil }

    /// For engines of one peer.
    package func keepAlive(
        _ peer: PeerID, at address: String,
        began: @escaping @Sendable (_ lease: UInt64) async throws -> Void
    ) async throws {
        try await began(0)
        let (never, source) = AsyncStream.makeStream(of: Never.self)
        for await _ in never {}
        withExtendedLifetime(source) {}
    }
}

/// A command on its way into the log.
package struct Proposal: Sendable {
    package var requestID: RequestID
    /// The proposer's clock.
    package var time: LogTime
    package var command: Command
    /// `command` as it is kept and sent.
    package var commandBytes: [UInt8]
}

/// A command with its place in the order.
package struct LogEntry: Sendable {
    package var index: LogIndex
    package var proposal: Proposal
}

/// Names one history of commands: which engine, and which life of it.
package struct LogHistory: Equatable, Sendable {
    package var name: String

    package init(name: String) {
        self.name = name
    }
}

/// What a read may cost and what it promises.
package enum ReadLevel: Sendable {
    /// What this peer has applied and saved. Never waits for another machine; may be behind.
    case plain
    /// Every command that was answered anywhere before the read began.
    case linearizable
}
