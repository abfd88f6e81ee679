@preconcurrency import Dispatch

/// Runs an actor's work on a dispatch queue of its own.
///
/// SQLite blocks: a commit waits for the disk. On the cooperative pool, which has as many threads as
/// the machine has cores, that wait would stall timers, health checks and request handling. A serial
/// queue outside the pool also makes group commit fall out by itself: what callers send while a
/// transaction holds the queue is there, together, when the queue is free again.
///
/// Unchecked because `DispatchQueue` is not marked `Sendable` on Linux; it is safe from any thread.
final class QueueExecutor: SerialExecutor, @unchecked Sendable {
    private let queue: DispatchQueue

    init(label: String) {
        queue = DispatchQueue(label: label)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        queue.async {
            unowned.runSynchronously(on: self.asUnownedSerialExecutor())
        }
    }

    /// Runs blocking work on the queue before there is an actor to do it.
    func perform<Result: Sendable>(
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result(catching: work)) }
        }
    }

    func checkIsolated() {
        dispatchPrecondition(condition: .onQueue(queue))
    }
}
