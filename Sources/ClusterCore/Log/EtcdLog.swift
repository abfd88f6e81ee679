import EtcdClient
import Multiformats
import Pinset
import Synchronization

/// The log of several machines, over etcd: Raft gives the order, the index of a command is the
/// revision that made its key. RFC 0006 has the keys and the reasons.
///
/// Nothing here waits for ever on one member: what is sent is repeated at the others, which is safe
/// because a key is only made where there is none.
package final class EtcdLog: ClusterLog {
    /// What may take how long, and how much comes at once.
    package struct Limits: Sendable {
        /// How long an append is tried before its outcome counts as unknown.
        package var proposalTimeout = Duration.seconds(5)
        /// How long one member has for an answer.
        package var answerTimeout = Duration.seconds(2)
        /// The same for a question that changes nothing. A member that was asked while there was no
        /// leader keeps it for seconds, also when there is one again; whoever asks anew is answered.
        package var questionTimeout = Duration.seconds(1)
        /// Silence of a watch after which the log is asked whether there is news.
        package var watchSilence = Duration.seconds(3)
        /// Bytes of commands that one answer should bring while catching up.
        package var portionByteCount = 4 << 20
        /// Bytes of commands read ahead of the one who applies them, but for the last answer.
        package var bufferedByteCount = 4 << 20
        /// Keys that one transaction of a trim deletes; etcd allows 128 operations.
        package var trimCount = 100

        package init() {}
    }

    private let client: EtcdClient
    private let keys: EtcdLogKeys
    private let limits: Limits
    private let process: ProcessNonce
    private let feed: Mutex<EtcdLogFeed?>
    private let newestKnown: Mutex<LogIndex>
    private let isClosed = Mutex(false)

    /// - Parameters:
    ///   - namespace: Begins all keys, so that several clusters may share one etcd.
    ///   - process: Marks the key by which this peer lives.
    package init(
        client: EtcdClient, namespace: String = "ingestd", limits: Limits = Limits(),
        process: ProcessNonce = ProcessNonce()
    ) {
        self.process = process
        self.client = client
        keys = EtcdLogKeys(namespace: namespace)
        self.limits = limits
        feed = Mutex(nil)
        newestKnown = Mutex(.beforeFirst)
    }

    /// Begins another life of the log, after commands that others may have seen were lost: it goes on
    /// behind `index`, and everyone whose state is of its former life stops by name.
    ///
    /// - Returns: The new history.
    package func beginAnew(after index: LogIndex) async throws -> LogHistory {
        // Up to there the state here may have seen more than the log still has: others take that state.
        let trimmed = Array(String(index.rawValue).utf8)
        _ = try await client.transact(if: [], then: [.put(keys.trimmed, value: trimmed)])
        // Each write is one revision: no new command may get an index that was applied already.
        var revision = try await writeGenerations(1)
        var compacted = revision
        while revision <= index.rawValue {
            let missing = index.rawValue - revision + 1
            revision = try await writeGenerations(min(missing, Self.generationCount))
            if revision - compacted > Self.uncompactedCount {
                // One that is not done now is done with the next.
                if await isCompacted(through: revision) { compacted = revision }
            }
        }
        return try await history()
    }

    private func isCompacted(through revision: UInt64) async -> Bool {
        do {
            try await client.compact(through: revision)
            return true
        } catch {
            return false
        }
    }

    /// Generations that are written at once.
    private static let generationCount: UInt64 = 64
    /// Revisions that need not fill etcd's quota.
    private static let uncompactedCount: UInt64 = 100_000

    /// Writes so many generations, in no order; one of them stays.
    ///
    /// - Returns: The highest revision of theirs.
    private func writeGenerations(_ count: UInt64) async throws -> UInt64 {
        try await withThrowingTaskGroup(of: UInt64.self) { group in
            for _ in 0..<count {
                group.addTask {
                    // One too many, where an answer was lost, does no harm.
                    try await self.persistently {
                        var random = SystemRandomNumberGenerator()
                        let fresh = withUnsafeBytes(of: random.next(), Array.init)
                        return try await self.client.transact(
                            if: [], then: [.put(self.keys.generation, value: fresh)]
                        ).revision
                    }
                }
            }
            return try await group.reduce(0, max)
        }
    }

    /// The ID of the etcd cluster and the generation of the log in it: a restored or foreign etcd has
    /// another one of either. Waits for etcd.
    package func history() async throws(LogError) -> LogHistory {
        var random = SystemRandomNumberGenerator()
        let fresh = withUnsafeBytes(of: random.next(), Array.init)
        return try await persistently {
            let result = try await self.client.transact(
                if: [.isAbsent(self.keys.generation)],
                then: [.put(self.keys.generation, value: fresh)],
                otherwise: [.range(EtcdRange(.one(self.keys.generation)))],
                timeout: self.limits.answerTimeout)
            let generation = result.ranges.first??.keyValues.first?.value ?? fresh
            let cluster = String(result.clusterID, radix: 16)
            return LogHistory(name: "etcd \(cluster) \(Hexadecimal.text(generation))")
        }
    }

    @discardableResult
    package func propose(_ proposal: Proposal) async throws(LogError) -> LogIndex? {
        // In a task of its own: a caller who gives up must not break off what is on its way.
        let attempts = Task { () -> Result<LogIndex?, LogError> in
            do throws(LogError) {
                return .success(try await self.proposeRepeatedly(proposal))
            } catch {
                return .failure(error)
            }
        }
        return try await attempts.value.get()
    }

    private func proposeRepeatedly(_ proposal: Proposal) async throws(LogError) -> LogIndex? {
        let key = keys.command(proposal.requestID)
        let operation = EtcdOperation.put(key, value: EtcdLogKeys.value(of: proposal))
        let deadline = ContinuousClock.now + limits.proposalTimeout
        var mayBeDone = false
        var backoff = Backoff()
        while true {
            guard !isClosed.withLock({ $0 }) else {
                throw ended(proposal.requestID, mayBeDone, cause: Self.closedCause)
            }
            let cause: String
            do {
                let result = try await client.transact(
                    if: [.isAbsent(key)], then: [operation],
                    otherwise: [.range(EtcdRange(.one(key)))],
                    timeout: limits.answerTimeout)
                let known = result.ranges.first??.keyValues.first
                let index = LogIndex(rawValue: known?.createRevision ?? result.revision)
                note(index)
                // Not done means that an earlier attempt was, of this call or of another.
                return result.isDone ? nil : index
            } catch let error as EtcdError {
                mayBeDone = mayBeDone || error.mayBeDone
                cause = error.cause
                switch error {
                case .unreachable, .noAnswer: break
                case .refused, .malformed:
                    throw refusal(proposal.requestID, mayBeDone, cause: cause)
                }
            } catch {
                throw refusal(proposal.requestID, true, cause: String(describing: error))
            }
            guard ContinuousClock.now < deadline, await backoff.wait() else {
                throw refusal(proposal.requestID, mayBeDone, cause: cause)
            }
        }
    }

    package func nextEntries(after index: LogIndex) async throws(LogError) -> [LogEntry] {
        guard !isClosed.withLock({ $0 }) else { throw .closed(cause: Self.closedCause) }
        let entries = try await feed(after: index).take()
        if let last = entries.last { note(last.index) }
        return entries
    }

    package func newestIndex() async throws(LogError) -> LogIndex {
        do {
            let index = try await client.view(
                of: keys.newestCommand, keys: keys, timeout: limits.questionTimeout
            ).newestIndex
            note(index)
            return index
        } catch {
            throw .unavailable(cause: EtcdLog.cause(of: error))
        }
    }

    package var newestKnownIndex: LogIndex { newestKnown.withLock { $0 } }

    /// Seconds without a sign of a peer after which others say that it is gone.
    private static let leaseSeconds = 10

    private var liveness: EtcdLiveness {
        EtcdLiveness(client: client, keys: keys, limits: limits, process: process)
    }

    package func keepAlive(
        _ peer: PeerID, at address: String,
        began: @escaping @Sendable (UInt64) async throws -> Void
    ) async throws {
        try await liveness
            .keepAlive(peer, at: address, seconds: Self.leaseSeconds, began: began)
    }

    package func livePeers() async throws(LogError) -> [PeerID: String]? {
        do {
            return try await liveness.livePeers()
        } catch {
            throw .unavailable(cause: Self.cause(of: error))
        }
    }

    /// Deletes what every peer has applied. Each transaction raises the mark that tells late peers
    /// before it deletes, so nobody can take a shortened log for a whole one.
    package func trim(through index: LogIndex) async throws(LogError) {
        do {
            while true {
                var old = EtcdRange(.beginning(keys.commands))
                (old.order, old.limit, old.keysOnly) = (.oldestFirst, limits.trimCount, true)
                old.maximumCreateRevision = index.rawValue
                let found = try await client.view(
                    of: old, keys: keys, timeout: limits.answerTimeout)
                guard let last = found.commands.last else { return }
                let mark = max(last.createRevision, found.trimmed)
                // Whoever trimmed in between has deleted some of these; then look again.
                _ = try await client.transact(
                    if: [.isUnchanged(keys.trimmed, since: found.trimmedRevision)],
                    then: [.put(keys.trimmed, value: Array(String(mark).utf8))]
                        + found.commands.map { .delete($0.key) },
                    timeout: limits.answerTimeout)
            }
        } catch {
            throw .unavailable(cause: Self.cause(of: error))
        }
    }

    package func close() {
        isClosed.withLock { $0 = true }
        feed.withLock { $0 }?.close()
    }

    // MARK: Helpers

    /// The feed whose next entry follows `index`: the one there is, unless it stands elsewhere.
    private func feed(after index: LogIndex) -> EtcdLogFeed {
        feed.withLock { feed in
            if let feed, feed.taken == index { return feed }
            feed?.close()
            let new = EtcdLogFeed(client: client, keys: keys, limits: limits, after: index)
            feed = new
            return new
        }
    }

    private func note(_ index: LogIndex) {
        newestKnown.withLock { $0 = max($0, index) }
    }

    private func ended(_ requestID: RequestID, _ mayBeDone: Bool, cause: String) -> LogError {
        mayBeDone ? .unknownOutcome(requestID, cause: cause) : .closed(cause: cause)
    }

    private func refusal(_ requestID: RequestID, _ mayBeDone: Bool, cause: String) -> LogError {
        mayBeDone
            ? .unknownOutcome(requestID, cause: cause)
            : .refused(requestID, .noQuorum(cause: cause))
    }

    /// Repeats what needs etcd until it answers.
    private func persistently<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws(LogError) -> Result {
        var backoff = Backoff()
        while !isClosed.withLock({ $0 }) {
            do {
                return try await body()
            } catch is EtcdError {
                guard await backoff.wait() else { break }
            } catch {
                break
            }
        }
        throw .closed(cause: Self.closedCause)
    }

    static func cause(of error: any Error) -> String {
        (error as? EtcdError)?.description ?? String(describing: error)
    }

    private static let closedCause = "this peer stopped applying commands"
}

/// Growing pauses between attempts.
struct Backoff {
    private var pause = Duration.milliseconds(20)
    private static let limit = Duration.seconds(1)

    /// - Returns: `false` when the task was cancelled.
    mutating func wait() async -> Bool {
        do {
            try await Task.sleep(for: pause)
        } catch {
            return false
        }
        pause = min(pause * 2, Self.limit)
        return true
    }

    mutating func reset() { self = Backoff() }
}
