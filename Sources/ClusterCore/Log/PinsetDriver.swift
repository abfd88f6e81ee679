import Logging
import Multiformats
import Pinset

/// Owns a peer's copy of the state and applies the log to it, a batch at a time.
///
/// An actor on a queue of its own, so that its blocking transactions stay off the cooperative pool
/// and a read never sees a state that is not on disk: reads run between batches.
package actor PinsetDriver {
    /// The largest command any engine takes, in encoded bytes; wider work is split.
    package static let commandByteLimit = 512 << 10

    private let executor: QueueExecutor
    nonisolated let store: StateStore
    private let log: any ClusterLog
    private let clock: @Sendable () -> LogTime
    private let logger: Logger
    private let pending: PendingAnswers
    private var state: PinsetState
    private var inboxes: [EffectInbox] = []
    /// Uploads that ended since this process began, by coordinator.
    private var endings: [PeerID: [UploadRecord.Ending: Int]] = [:]
    /// Set once, when the state in memory may differ from the one on disk or nobody applies any more.
    private var closed: LogError?

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        executor.asUnownedSerialExecutor()
    }

    /// Opens the state at `path`, checks it and restores it. Nothing is applied before `run()`.
    ///
    /// - Parameter clock: The wall clock, which goes into the log with each command.
    package static func open(
        path: String, retention: ArchiveRetention = .default, log: any ClusterLog,
        logger: Logger, clock: @escaping @Sendable () -> LogTime = LogTime.wallClock
    ) async throws -> PinsetDriver {
        let executor = QueueExecutor(label: "pinset")
        return try await executor.perform {
            let store = try StateStore(path: path, retention: retention)
            let state = try store.loadState()
            return PinsetDriver(
                executor: executor, store: store, state: state, log: log, logger: logger,
                clock: clock)
        }
    }

    private init(
        executor: QueueExecutor, store: StateStore, state: PinsetState, log: any ClusterLog,
        logger: Logger, clock: @escaping @Sendable () -> LogTime
    ) {
        self.executor = executor
        self.store = store
        self.state = state
        self.log = log
        self.logger = logger
        self.clock = clock
        pending = PendingAnswers(applied: state.appliedIndex)
    }

    // MARK: - The loop

    /// Applies the log until the task is cancelled or something fails; then this peer has stopped.
    ///
    /// - Parameter fetchSnapshot: Brings a newer state from another peer, when the log no longer has
    ///   the commands that come next here.
    /// - Throws: The failure. Cancellation is none.
    package func run(fetchSnapshot: (@Sendable () async throws -> PinsetState)? = nil) async throws
    {
        do {
            try await checkHistory()
            while true {
                if let entries = try await nextEntries(orSnapshot: fetchSnapshot != nil) {
                    try applyAndSave(entries)
                } else if let fetchSnapshot {
                    try adopt(try await fetchSnapshot())
                }
            }
        } catch {
            let isStop = Task.isCancelled
            stop(cause: isStop ? "the daemon is stopping" : String(describing: error))
            if !isStop { throw error }
        }
    }

    /// `nil` when a snapshot is needed and can be had.
    private func nextEntries(
        orSnapshot canFetch: Bool
    ) async throws(LogError) -> [LogEntry]? {
        do throws(LogError) {
            return try await log.nextEntries(after: state.appliedIndex)
        } catch {
            guard case .trimmed = error, canFetch else { throw error }
            return nil
        }
    }

    private func checkHistory() async throws {
        let found = try await log.history()
        let expected = try store.claim(found)
        guard found == expected else {
            throw LogError.foreignHistory(found: found, expected: expected)
        }
    }

    /// One transaction for the whole batch; nobody is told anything before it is on disk.
    private func applyAndSave(_ delivered: [LogEntry]) throws {
        let entries = delivered.filter { $0.index > state.appliedIndex }
        guard let last = entries.last else { return }
        var outcomes: [(RequestID, Outcome)] = []
        var effects: [Effect] = []
        for entry in entries {
            let (outcome, entryEffects) = state.apply(entry)
            outcomes.append((entry.proposal.requestID, outcome))
            effects += entryEffects
        }
        count(effects)
        try store.save(state.drainChanges(), entries: entries.map(ArchivedEntry.init))
        pending.answer(outcomes, applied: last.index)
        for inbox in inboxes { inbox.wake(for: effects) }
    }

    private func count(_ effects: [Effect]) {
        for case .uploadEnded(let id) in effects {
            guard let upload = state.upload(id), let ending = upload.ending else { continue }
            endings[upload.options.coordinator, default: [:]][ending, default: 0] += 1
        }
    }

    /// Goes on from another peer's state.
    private func adopt(_ snapshot: PinsetState) throws {
        guard snapshot.appliedIndex > state.appliedIndex else { return }
        try store.replace(with: snapshot)
        state = snapshot
        logger.notice(
            "took the state of another peer",
            metadata: ["index": "\(snapshot.appliedIndex)"])
        pending.settle(applied: snapshot.appliedIndex) { snapshot.settledAnswer(to: $0) }
        for inbox in inboxes { inbox.wakeForEverything() }
    }

    private func stop(cause: String) {
        guard closed == nil else { return }
        closed = .closed(cause: cause)
        logger.notice("stopped applying the log", metadata: ["cause": "\(cause)"])
        pending.close(cause)
        log.close()
        for inbox in inboxes { inbox.finish() }
        do {
            try store.close()
        } catch {
            logger.warning("the state file did not close", metadata: ["error": "\(error)"])
        }
    }
}

// MARK: - Commands

extension PinsetDriver {
    /// Appends a command once and returns its outcome after it was applied and saved here.
    ///
    /// Repeating a call with the same request ID is safe at any time and gives the same outcome.
    ///
    /// - Throws: `refused` or `closed` when the command is certainly not in the log,
    ///   `unknownOutcome` when it may be, also when the calling task is cancelled.
    package nonisolated func append(
        _ command: Command, as requestID: RequestID
    ) async throws(LogError) -> Outcome {
        let bytes = command.encoded
        guard bytes.count <= Self.commandByteLimit else {
            throw .refused(
                requestID,
                .commandTooLarge(byteCount: bytes.count, limit: Self.commandByteLimit))
        }
        let place = try pending.expect(requestID)
        defer { pending.leave(place, of: requestID) }
        let known = try await log.propose(
            Proposal(requestID: requestID, time: clock(), command: command, commandBytes: bytes))
        if let known {
            // Nobody tells of an entry again that was applied before this call began.
            try await waitUntilApplied(known)
            if let outcome = await settledAnswer(to: requestID) { return outcome }
        }
        return try await place.value(
            ifCancelled: .unknownOutcome(requestID, cause: "the caller was cancelled"))
    }

    private func settledAnswer(to requestID: RequestID) -> Outcome? {
        state.settledAnswer(to: requestID)
    }

    /// A fresh request ID. Make one per intent, not per attempt.
    package nonisolated func makeRequestID() -> RequestID {
        // The system's generator: IDs of different peers and of different lives must not meet.
        var random = SystemRandomNumberGenerator()
        return RequestID(
            proposerIndex: pending.applied, high: random.next(), low: random.next())
    }

    /// Appends a command under a fresh request ID.
    package nonisolated func append(_ command: Command) async throws(LogError) -> Outcome {
        try await append(command, as: makeRequestID())
    }
}

// MARK: - Commands that must not be given up

extension PinsetDriver {
    /// Appends a command once, however long the log cannot be reached, until this peer stops.
    @discardableResult
    nonisolated func appendPersistently(
        _ command: Command, logger: Logger
    ) async throws -> Outcome {
        let requestID = makeRequestID()
        return try await persistently(logger) { () async throws(LogError) in
            try await self.append(command, as: requestID)
        }
    }

    /// Waits until everything is applied that was in the log when this began.
    nonisolated func catchUp(logger: Logger) async throws {
        let newest = try await persistently(logger) { () async throws(LogError) in
            try await self.log.newestIndex()
        }
        try await waitUntilApplied(newest)
    }

    private nonisolated func persistently<Result: Sendable>(
        _ logger: Logger, _ body: () async throws(LogError) -> Result
    ) async throws(LogError) -> Result {
        try await repeating(body) { error in
            logger.warning("waiting for the log", metadata: ["cause": "\(error)"])
            return true
        }
    }

    /// Repeats what the engine does not answer, with growing pauses.
    ///
    /// - Parameter goesOn: Whether to try again after an error that may pass.
    nonisolated func repeating<Result: Sendable>(
        _ body: () async throws(LogError) -> Result, while goesOn: (LogError) -> Bool
    ) async throws(LogError) -> Result {
        var backoff = Backoff()
        while true {
            do throws(LogError) {
                return try await body()
            } catch {
                guard error.isPassing, goesOn(error), await backoff.wait() else { throw error }
            }
        }
    }

    /// Shows others that `peer` is there until the task is cancelled; see `ClusterLog`.
    nonisolated func keepAlive(
        _ peer: PeerID, at address: String,
        began: @escaping @Sendable (UInt64) async throws -> Void
    ) async throws {
        try await log.keepAlive(peer, at: address, began: began)
    }

    nonisolated func livePeers() async throws(LogError) -> [PeerID: String]? {
        try await log.livePeers()
    }

    /// Lets the log forget what is saved here and by everyone who may need it; see `ClusterLog`.
    nonisolated func trimLog(through index: LogIndex) async throws(LogError) {
        try await log.trim(through: index)
    }
}

// MARK: - Reads

extension PinsetDriver {
    /// Lets `body` look at the state, between two batches.
    ///
    /// The log waits meanwhile: take out what is needed and return. A copy of the whole state that
    /// outlives the call makes the next command copy what it changes, however large.
    ///
    /// - Throws: `LogError.closed` after a failure, since the state in memory may then be ahead of
    ///   the disk; or what `body` throws.
    package func read<Result: Sendable>(
        _ level: ReadLevel = .plain, _ body: @Sendable (PinsetState) throws -> Result
    ) async throws -> Result {
        if level == .linearizable {
            try await waitUntilApplied(log.newestIndex())
        }
        if let closed { throw closed }
        return try body(state)
    }

    /// Waits until everything up to and including `index` is applied and saved here.
    package nonisolated func waitUntilApplied(_ index: LogIndex) async throws(LogError) {
        guard let place = try pending.expect(index) else { return }
        defer { pending.leave(place) }
        try await place.value(ifCancelled: .closed(cause: "the caller was cancelled"))
    }

    /// How far this peer's state is behind the log, as far as it knows without asking anyone.
    package nonisolated var position: LogPosition {
        let applied = pending.applied
        return LogPosition(applied: applied, newestKnown: max(applied, log.newestKnownIndex))
    }

    /// How many uploads that a peer coordinated have ended, as this process has seen.
    package func endings(of coordinator: PeerID) -> [UploadRecord.Ending: Int] {
        endings[coordinator] ?? [:]
    }

    /// Hints of what changes from now on, for one consumer.
    package func effects() -> EffectStream {
        let inbox = EffectInbox()
        if closed == nil { inboxes.append(inbox) } else { inbox.finish() }
        return EffectStream(inbox: inbox)
    }

    /// A digest of the whole state, equal on all peers at the same applied index.
    ///
    /// Reads every row while the log waits.
    package func stateDigest() throws(LogError) -> StateDigest {
        if let closed { throw closed }
        return StateDigest(appliedIndex: state.appliedIndex, digest: state.digest())
    }
}
