import Synchronization

/// A value that arrives once and is awaited by one task, which may be cancelled.
///
/// The first resolution wins. A lock and not an actor, because it is resolved from cancellation
/// handlers and from inside other locks' owners, where nothing may wait.
final class OneShot<Value: Sendable>: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Result<Value, LogError>, Never>)
        case resolved(Result<Value, LogError>)
    }

    private let state = Mutex(State.open)

    func resolve(_ result: Result<Value, LogError>) {
        let waiting = state.withLock {
            state -> CheckedContinuation<Result<Value, LogError>, Never>? in
            switch state {
            case .open:
                state = .resolved(result)
                return nil
            case .awaited(let continuation):
                state = .resolved(result)
                return continuation
            case .resolved:
                return nil
            }
        }
        waiting?.resume(returning: result)
    }

    /// Waits for the resolution; a cancelled task gets `cancelled` at once.
    func value(ifCancelled cancelled: LogError) async throws(LogError) -> Value {
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state -> Result<Value, LogError>? in
                    if case .resolved(let result) = state { return result }
                    state = .awaited(continuation)
                    return nil
                }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            resolve(.failure(cancelled))
        }
        return try result.get()
    }
}
