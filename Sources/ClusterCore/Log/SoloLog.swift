import Pinset
import Synchronization

/// The log of a single machine: gives commands their order and nothing else.
///
/// It keeps no copy. `PinsetDriver` saves each batch with the state it leads to in one SQLite
/// transaction, and the archived commands in that file are the log. A command that was queued but not
/// saved when the process ends was never answered, so it may vanish.
///
/// Group commit comes from here: what is proposed while a transaction runs waits in the queue and
/// leaves it together, so many commands share one wait for the disk.
package final class SoloLog: ClusterLog {
    private let limits: Limits
    private let queue: Mutex<Queue>

    /// Bounds of the queue and of one batch.
    package struct Limits: Sendable {
        /// Proposers beyond this many wait for the next batch to leave.
        package var queuedCommands = 4_096
        /// Most commands in one transaction; bounds how long a read waits behind it.
        package var batchCommands = 512
        /// A batch ends with the command that reaches this many bytes.
        package var batchByteCount = 4 << 20

        package init() {}
    }

    fileprivate struct Queue {
        var proposals: [Proposal] = []
        var newest = LogIndex.beforeFirst
        var isClosed = false
        /// The driver, when it waits for work.
        var consumer: OneShot<Void>?
        /// Proposers that found the queue full.
        var blocked: [OneShot<Void>] = []
    }

    package init(limits: Limits = Limits()) {
        self.limits = limits
        queue = Mutex(Queue())
    }

    package func history() -> LogHistory {
        LogHistory(name: "solo")
    }

    @discardableResult
    package func propose(_ proposal: Proposal) async throws(LogError) -> LogIndex? {
        while let room = try offer(proposal) {
            try await room.value(ifCancelled: .closed(cause: "cancelled while the queue was full"))
        }
        return nil
    }

    /// Queues the proposal, or answers what to wait for before trying again.
    private func offer(_ proposal: Proposal) throws(LogError) -> OneShot<Void>? {
        let (isClosed, room, consumer) = queue.withLock {
            queue -> (Bool, OneShot<Void>?, OneShot<Void>?) in
            if queue.isClosed { return (true, nil, nil) }
            if queue.proposals.count >= limits.queuedCommands {
                let room = OneShot<Void>()
                queue.blocked.append(room)
                return (false, room, nil)
            }
            queue.proposals.append(proposal)
            return (false, nil, queue.consumer.take())
        }
        if isClosed { throw .closed(cause: Self.closedCause) }
        consumer?.resolve(.success(()))
        return room
    }

    package func nextEntries(after index: LogIndex) async throws(LogError) -> [LogEntry] {
        while true {
            switch takeBatch(after: index) {
            case .entries(let entries): return entries
            case .closed: throw .closed(cause: Self.closedCause)
            case .wait(let work): try await work.value(ifCancelled: .closed(cause: "cancelled"))
            }
        }
    }

    private enum Batch {
        case entries([LogEntry])
        case wait(OneShot<Void>)
        case closed
    }

    private func takeBatch(after index: LogIndex) -> Batch {
        let (batch, unblocked) = queue.withLock { queue -> (Batch, [OneShot<Void>]) in
            if queue.isClosed { return (.closed, []) }
            if queue.proposals.isEmpty {
                let work = OneShot<Void>()
                queue.consumer = work
                return (.wait(work), [])
            }
            let entries = queue.takeEntries(after: index, limits)
            let unblocked = queue.blocked
            queue.blocked = []
            return (.entries(entries), unblocked)
        }
        for proposer in unblocked { proposer.resolve(.success(())) }
        return batch
    }

    /// On one machine, what was handed out is all that can have been answered.
    package func newestIndex() -> LogIndex { newestKnownIndex }

    package var newestKnownIndex: LogIndex { queue.withLock { $0.newest } }

    /// The only peer is this one, and it does not watch itself.
    /// Nothing to do: the archive is the log, and its retention is the store's.
    package func trim(through index: LogIndex) {}

    package func close() {
        let waiting = queue.withLock { queue -> [OneShot<Void>] in
            queue.isClosed = true
            queue.proposals = []
            defer { queue.blocked = [] }
            return queue.blocked + [queue.consumer.take()].compactMap(\.self)
        }
        for one in waiting { one.resolve(.failure(.closed(cause: Self.closedCause))) }
    }

    private static let closedCause = "this peer stopped applying commands"
}

extension SoloLog.Queue {
    fileprivate mutating func takeEntries(
        after index: LogIndex, _ limits: SoloLog.Limits
    ) -> [LogEntry] {
        var byteCount = 0
        var taken = 0
        for proposal in proposals.prefix(limits.batchCommands) {
            if byteCount >= limits.batchByteCount { break }
            byteCount += proposal.commandBytes.count
            taken += 1
        }
        var last = index
        let entries = proposals.prefix(taken).map { proposal in
            last = LogIndex(rawValue: last.rawValue + 1)
            return LogEntry(index: last, proposal: proposal)
        }
        proposals.removeFirst(taken)
        newest = last
        return entries
    }
}
