import Multiformats

/// The last requests with their outcomes, so that a retry is answered instead of applied again.
struct RequestMemory: Sendable {
    struct Entry: Equatable, Sendable {
        var logIndex: LogIndex
        var requestID: RequestID
        /// The outcome in its lasting form; most are never read again.
        var outcome: [UInt8]
    }

    let limit: Int
    /// The log index of the newest request that is no longer remembered: a request whose proposer
    /// had not applied the log up to there may have been applied before.
    private(set) var forgottenThrough = LogIndex.beforeFirst
    /// Entries in log order; those before `first` are gone.
    private var queue: [Entry] = []
    private var first = 0
    /// Place in the queue, counted from the first entry ever.
    private var places: [RequestID: Int] = [:]
    private var removedCount = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Restores what `entries` and `forgottenThrough` gave.
    init(limit: Int, forgottenThrough: LogIndex, entries: [Entry]) {
        self.limit = limit
        self.forgottenThrough = forgottenThrough
        queue = entries.sorted { $0.logIndex < $1.logIndex }
        for (place, entry) in queue.enumerated() { places[entry.requestID] = place }
    }

    /// In log order.
    var entries: ArraySlice<Entry> { queue[first...] }

    func outcome(of requestID: RequestID) -> Outcome? {
        guard let place = places[requestID] else { return nil }
        do {
            return try Outcome(wire: Wire.decode(queue[place - removedCount].outcome))
        } catch {
            preconditionFailure("an outcome was remembered that cannot be read: \(error)")
        }
    }

    func entry(at logIndex: LogIndex) -> Entry? {
        var low = first
        var high = queue.count
        while low < high {
            let middle = (low + high) / 2
            if queue[middle].logIndex < logIndex { low = middle + 1 } else { high = middle }
        }
        return low < queue.count && queue[low].logIndex == logIndex ? queue[low] : nil
    }

    /// - Returns: The log index of the request that was forgotten to make room.
    mutating func remember(
        _ outcome: Outcome, of requestID: RequestID, at logIndex: LogIndex
    ) -> LogIndex? {
        places[requestID] = queue.count + removedCount
        queue.append(
            Entry(logIndex: logIndex, requestID: requestID, outcome: outcome.wire.encoded))
        guard queue.count - first > limit else { return nil }
        let oldest = queue[first]
        places[oldest.requestID] = nil
        // Its place goes later, with many others.
        queue[first].outcome = []
        forgottenThrough = oldest.logIndex
        first += 1
        if first > limit {
            queue.removeFirst(first)
            removedCount += first
            first = 0
        }
        return oldest.logIndex
    }
}
