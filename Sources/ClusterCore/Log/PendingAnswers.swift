import Pinset
import Synchronization

/// Callers that wait for a request to be applied, or for the state to reach a place in the log.
///
/// A lock and not part of the driver, so that callers come and go while the driver's queue is blocked
/// in a transaction.
final class PendingAnswers: Sendable {
    private struct Waiting {
        var outcomes: [RequestID: [OneShot<Outcome>]] = [:]
        var positions: [(index: LogIndex, reached: OneShot<Void>)] = []
        var applied: LogIndex
        var closed: LogError?
    }

    private let waiting: Mutex<Waiting>

    init(applied: LogIndex) {
        waiting = Mutex(Waiting(applied: applied))
    }

    /// The index up to which everything is applied, saved and answered.
    var applied: LogIndex { waiting.withLock { $0.applied } }

    /// Takes a place for the outcome of a request; several callers may wait for one.
    func expect(_ requestID: RequestID) throws(LogError) -> OneShot<Outcome> {
        let place = OneShot<Outcome>()
        let closed = waiting.withLock { waiting in
            if waiting.closed == nil { waiting.outcomes[requestID, default: []].append(place) }
            return waiting.closed
        }
        if let closed { throw closed }
        return place
    }

    /// Gives the place back, also after an answer.
    func leave(_ place: OneShot<Outcome>, of requestID: RequestID) {
        waiting.withLock { waiting in
            waiting.outcomes[requestID]?.removeAll { $0 === place }
            if waiting.outcomes[requestID]?.isEmpty == true { waiting.outcomes[requestID] = nil }
        }
    }

    /// What to wait for until `index` is applied; `nil` when it is.
    func expect(_ index: LogIndex) throws(LogError) -> OneShot<Void>? {
        let (closed, place) = waiting.withLock { waiting -> (LogError?, OneShot<Void>?) in
            if let closed = waiting.closed { return (closed, nil) }
            if waiting.applied >= index { return (nil, nil) }
            let place = OneShot<Void>()
            waiting.positions.append((index, place))
            return (nil, place)
        }
        if let closed { throw closed }
        return place
    }

    /// Gives the place back, also after it was reached.
    func leave(_ place: OneShot<Void>) {
        waiting.withLock { $0.positions.removeAll { $0.reached === place } }
    }

    /// Tells everyone what became durable.
    func answer(_ outcomes: [(RequestID, Outcome)], applied: LogIndex) {
        let (answered, reached) = waiting.withLock { waiting in
            waiting.applied = applied
            let answered = outcomes.compactMap { requestID, outcome in
                waiting.outcomes.removeValue(forKey: requestID).map { ($0, outcome) }
            }
            let reached = waiting.positions.filter { $0.index <= applied }
            waiting.positions.removeAll { $0.index <= applied }
            return (answered, reached)
        }
        for (places, outcome) in answered {
            for place in places { place.resolve(.success(outcome)) }
        }
        for position in reached { position.reached.resolve(.success(())) }
    }

    /// Tells everyone what a state knows that did not come from the log.
    func settle(applied: LogIndex, by answer: (RequestID) -> Outcome?) {
        let requests = waiting.withLock { Array($0.outcomes.keys) }
        self.answer(
            requests.compactMap { id in answer(id).map { (id, $0) } }, applied: applied)
    }

    /// Ends the waiting: whether a command that waits here is in the log is not known.
    func close(_ cause: String) {
        let error = LogError.closed(cause: cause)
        let abandoned = waiting.withLock { waiting in
            let abandoned = waiting
            waiting.closed = waiting.closed ?? error
            waiting.outcomes = [:]
            waiting.positions = []
            return abandoned
        }
        for (requestID, places) in abandoned.outcomes {
            let unknown = LogError.unknownOutcome(requestID, cause: cause)
            for place in places { place.resolve(.failure(unknown)) }
        }
        for position in abandoned.positions { position.reached.resolve(.failure(error)) }
    }
}
