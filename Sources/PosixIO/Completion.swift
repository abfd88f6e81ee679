import Synchronization

/// The result of work done by a worker thread, awaited by one task.
package final class Completion<Value: Sendable>: Sendable {
    private enum State {
        case running
        case awaited(CheckedContinuation<Value, any Error>)
        case done(Result<Value, any Error>)
    }

    private let state = Mutex(State.running)

    package init() {}

    package var isDone: Bool {
        state.withLock { if case .done = $0 { true } else { false } }
    }

    /// Called once, by the worker.
    package func finish(_ result: Result<Value, any Error>) {
        let waiting: CheckedContinuation<Value, any Error>? = state.withLock { state in
            defer { state = .done(result) }
            if case .awaited(let continuation) = state { return continuation }
            return nil
        }
        waiting?.resume(with: result)
    }

    /// Waits for the worker. May be called again after it has returned or thrown.
    package func value() async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let result: Result<Value, any Error>? = state.withLock { state in
                switch state {
                case .running:
                    state = .awaited(continuation)
                    return nil
                case .awaited:
                    preconditionFailure("a completion is awaited by one task")
                case .done(let result):
                    return result
                }
            }
            if let result { continuation.resume(with: result) }
        }
    }
}

extension WorkerPool {
    /// Runs `body` on a worker.
    package func start<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) -> Completion<Value> {
        let completion = Completion<Value>()
        submit { completion.finish(Result { try body() }) }
        return completion
    }

    /// Runs blocking work on a worker and waits for it without blocking the calling task's thread.
    package func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await start(body).value()
    }
}
