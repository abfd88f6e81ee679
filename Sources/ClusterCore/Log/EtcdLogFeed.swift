import EtcdClient
import Pinset
import Synchronization

/// Reads the log in order from one place on, ahead of the one who applies it.
///
/// It catches up by ranges, then follows a watch from the next revision on. Anything odd (a watch that
/// a compaction cancels, or that falls silent) means to start over from the last entry.
final class EtcdLogFeed: Sendable {
    private struct State {
        var entries: [LogEntry] = []
        var byteCount = 0
        /// The last entry that was read, or the place to begin after.
        var read: LogIndex
        var taken: LogIndex
        var end: LogError?
        var taker: OneShot<Void>?
        var reader: OneShot<Void>?
        var task: Task<Void, Never>?
    }

    private let client: EtcdClient
    private let keys: EtcdLogKeys
    private let limits: EtcdLog.Limits
    private let state: Mutex<State>

    init(client: EtcdClient, keys: EtcdLogKeys, limits: EtcdLog.Limits, after index: LogIndex) {
        self.client = client
        self.keys = keys
        self.limits = limits
        state = Mutex(State(read: index, taken: index))
        let task = Task { await self.run() }
        state.withLock { $0.task = task }
    }

    /// The last entry that was handed out.
    var taken: LogIndex { state.withLock { $0.taken } }

    /// All entries that were read and not taken yet; waits until there is one.
    func take() async throws(LogError) -> [LogEntry] {
        while true {
            let (found, wait) = try takeOrWait()
            guard let wait else { return found }
            try await wait.value(ifCancelled: .closed(cause: "cancelled"))
        }
    }

    private func takeOrWait() throws(LogError) -> (entries: [LogEntry], wait: OneShot<Void>?) {
        let (entries, end, wait, reader) = state.withLock {
            state -> ([LogEntry], LogError?, OneShot<Void>?, OneShot<Void>?) in
            if let last = state.entries.last {
                let entries = state.entries
                state.entries = []
                state.byteCount = 0
                state.taken = last.index
                return (entries, nil, nil, state.reader.take())
            }
            if let end = state.end { return ([], end, nil, nil) }
            let wait = OneShot<Void>()
            state.taker = wait
            return ([], nil, wait, nil)
        }
        reader?.resolve(.success(()))
        if let end { throw end }
        return (entries, wait)
    }

    func close() { finish(.closed(cause: "this peer stopped applying commands")) }

    private func finish(_ end: LogError) {
        let (task, taker, reader) = state.withLock {
            state -> (Task<Void, Never>?, OneShot<Void>?, OneShot<Void>?) in
            if state.end == nil { state.end = end }
            return (state.task.take(), state.taker.take(), state.reader.take())
        }
        task?.cancel()
        taker?.resolve(.success(()))
        reader?.resolve(.success(()))
    }

    // MARK: Reading

    private func run() async {
        var backoff = Backoff()
        while state.withLock({ $0.end == nil }) {
            do {
                let revision = try await catchUp()
                backoff.reset()
                try await follow(from: revision + 1)
            } catch let error as LogError {
                finish(error)
            } catch {
                // Unreachable, cancelled by etcd, or silent: begin again at the last entry.
                if await !backoff.wait() { return }
            }
        }
    }

    /// Reads everything there is.
    ///
    /// - Returns: The revision up to which it was read.
    private func catchUp() async throws -> UInt64 {
        // How long the next commands are is only known from the last ones, so it begins with few.
        var count = Self.portionCounts.lowerBound
        while true {
            let read = state.withLock { $0.read }
            var commands = EtcdRange(.beginning(keys.commands))
            (commands.order, commands.limit) = (.oldestFirst, count)
            commands.minimumCreateRevision = read.rawValue + 1
            let portion = try await client.view(
                of: commands, keys: keys, timeout: limits.answerTimeout)
            guard portion.revision >= read.rawValue else {
                throw LogError.setBack(to: LogIndex(rawValue: portion.revision), applied: read)
            }
            if portion.trimmed > read.rawValue { throw LogError.trimmed(after: read) }
            try await add(portion.commands)
            if !portion.hasMore { return portion.revision }
            let byteCount = portion.commands.reduce(0) { $0 + $1.value.count }
            count = limits.portionByteCount * portion.commands.count / max(byteCount, 1)
            count = min(max(count, Self.portionCounts.lowerBound), Self.portionCounts.upperBound)
        }
    }

    /// Commands in one answer; even the most of them, if they are small, cost a moment.
    private static let portionCounts = 8...1024

    /// Follows a watch until it ends, breaks, or turns out to be silent; always throws.
    ///
    /// A watch may fall silent with its connection or its member and never say so. So it is never
    /// relied on alone: every now and then the log itself is asked for what the watch should have told.
    private func follow(from revision: UInt64) async throws {
        let watch = EtcdWatch(.beginning(keys.commands), from: revision)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for try await batch in try await self.client.watch(watch) {
                    try await self.add(batch)
                }
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: self.limits.watchSilence)
                    let newest = try await self.client.view(
                        of: self.keys.newestCommand, keys: self.keys,
                        timeout: self.limits.answerTimeout
                    ).newestIndex
                    guard newest > self.state.withLock({ $0.read }) else { continue }
                    try await Task.sleep(for: self.limits.watchSilence)
                    guard newest <= self.state.withLock({ $0.read }) else {
                        throw EtcdError.noAnswer(cause: "the watch is silent")
                    }
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Hands entries on, once there is room for them.
    private func add(_ commands: [EtcdKeyValue]) async throws {
        let entries = try commands.map { command throws(LogError) in try keys.entry(of: command) }
        guard let last = entries.last else { return }
        while let room = roomToWaitFor() {
            try await room.value(ifCancelled: .closed(cause: "cancelled"))
        }
        let taker = state.withLock { state in
            // After a new start, what was read before comes again.
            let new = entries.filter { $0.index > state.read }
            state.entries += new
            state.byteCount += new.reduce(0) { $0 + $1.proposal.commandBytes.count }
            state.read = max(state.read, last.index)
            return state.entries.isEmpty ? nil : state.taker.take()
        }
        taker?.resolve(.success(()))
    }

    private func roomToWaitFor() -> OneShot<Void>? {
        state.withLock { state in
            guard state.byteCount >= limits.bufferedByteCount, state.end == nil else { return nil }
            let room = OneShot<Void>()
            state.reader = room
            return room
        }
    }
}
