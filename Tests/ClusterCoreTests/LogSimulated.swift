import Multiformats
import Pinset
import SeededRandom
import Synchronization

@testable import ClusterCore

/// An engine in memory that misbehaves as a remote one may, by a seed.
///
/// It loses proposals and answers, holds a proposal twice, delivers entries again, cuts batches
/// anywhere and leaves gaps between indices. What it never does is forget an entry or change the
/// order.
final class SimulatedEngine: Sendable {
    struct Contents {
        var entries: [LogEntry] = []
        var random: SeededGenerator
        var consumers: [CheckedContinuation<Void, Never>] = []
    }

    let contents: Mutex<Contents>
    let isFaulty: Bool
    let history: LogHistory

    init(seed: UInt64, isFaulty: Bool = true, history: String = "simulated") {
        self.history = LogHistory(name: history)
        contents = Mutex(Contents(random: SeededGenerator(seed: seed)))
        self.isFaulty = isFaulty
    }

    /// A connection of one life of a peer.
    func connect() -> SimulatedLog { SimulatedLog(engine: self) }

    fileprivate enum Fate { case kept, keptTwice, lostAnswer, lost }

    fileprivate func propose(_ proposal: Proposal) -> Fate {
        let (fate, consumers) = contents.withLock { contents in
            let fate = isFaulty ? contents.fate() : .kept
            for _ in 0..<(fate == .lost ? 0 : fate == .keptTwice ? 2 : 1) {
                contents.add(proposal)
            }
            defer { contents.consumers = [] }
            return (fate, contents.consumers)
        }
        for consumer in consumers { consumer.resume() }
        return fate
    }

    func wakeConsumers() {
        let consumers = contents.withLock { contents in
            defer { contents.consumers = [] }
            return contents.consumers
        }
        for consumer in consumers { consumer.resume() }
    }

    fileprivate func batch(after index: LogIndex) -> [LogEntry] {
        contents.withLock { contents in
            guard let first = contents.entries.firstIndex(where: { $0.index > index }) else {
                return []
            }
            guard isFaulty else { return Array(contents.entries[first...]) }
            let again = Int(contents.random.next() % 3)
            let length = 1 + Int(contents.random.next() % 5)
            let start = max(0, first - again)
            return Array(contents.entries[start..<min(first + length, contents.entries.count)])
        }
    }

    var newest: LogIndex {
        contents.withLock { $0.entries.last?.index ?? .beforeFirst }
    }
}

extension SimulatedEngine.Contents {
    fileprivate mutating func fate() -> SimulatedEngine.Fate {
        switch random.next() % 10 {
        case 0: .lost
        case 1, 2: .lostAnswer
        case 3: .keptTwice
        default: .kept
        }
    }

    fileprivate mutating func add(_ proposal: Proposal) {
        let last = entries.last?.index.rawValue ?? 0
        let index = LogIndex(rawValue: last + 1 + random.next() % 3)
        entries.append(LogEntry(index: index, proposal: proposal))
    }
}

final class SimulatedLog: ClusterLog {
    private let engine: SimulatedEngine
    private let isClosed = Mutex(false)

    init(engine: SimulatedEngine) { self.engine = engine }

    func history() -> LogHistory { engine.history }

    func propose(_ proposal: Proposal) async throws(LogError) -> LogIndex? {
        switch engine.propose(proposal) {
        case .kept, .keptTwice: return nil
        case .lost, .lostAnswer:
            throw .unknownOutcome(proposal.requestID, cause: "the connection broke")
        }
    }

    func nextEntries(after index: LogIndex) async throws(LogError) -> [LogEntry] {
        while true {
            if isClosed.withLock({ $0 }) || Task.isCancelled { throw .closed(cause: "closed") }
            let batch = engine.batch(after: index)
            if !batch.isEmpty { return batch }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isStale = engine.contents.withLock { contents in
                        // Looked at under the lock: an entry or a cancellation that came since the
                        // look above would otherwise ring before anyone listens.
                        if Task.isCancelled || (contents.entries.last?.index ?? index) > index {
                            return true
                        }
                        contents.consumers.append(continuation)
                        return false
                    }
                    if isStale { continuation.resume() }
                }
            } onCancel: {
                engine.wakeConsumers()
            }
        }
    }

    func newestIndex() async throws(LogError) -> LogIndex { engine.newest }

    var newestKnownIndex: LogIndex { engine.newest }

    func trim(through index: LogIndex) async throws(LogError) {}

    func close() {
        isClosed.withLock { $0 = true }
        engine.wakeConsumers()
    }
}
