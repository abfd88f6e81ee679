/// Threads that take closures from one queue, first in, first out.
///
/// For hashing and for disk calls. Those who submit bound the queue by what they own: a job that
/// holds a buffer waits for nothing else, and there are only so many buffers.
package final class WorkerPool: Sendable {
    private let queue: Monitor<JobQueue>
    private let threads: [PosixThread]

    /// - Parameters:
    ///   - name: Begins the threads' names.
    ///   - niceness: How much further than the starting thread the threads stand back for others:
    ///     for work that must not slow down whoever supplies it.
    ///   - queueLimit: Most jobs waiting; whoever submits more does its job itself meanwhile.
    package init(
        name: String, threadCount: Int, niceness: Int = 0, queueLimit: Int = 65_536
    ) throws(IOError) {
        precondition(threadCount >= 1, "a pool has a thread")
        let queue = Monitor(JobQueue(limit: queueLimit))
        var threads: [PosixThread] = []
        do throws(IOError) {
            for number in 0..<threadCount {
                threads.append(
                    try PosixThread(name: "\(name)-\(number)", niceness: niceness) {
                        while let job = queue.wait({ $0.next() }) ?? nil { job() }
                    })
            }
        } catch {
            queue.withLock { $0.isClosed = true }
            queue.wakeAll()
            throw error
        }
        self.queue = queue
        self.threads = threads
    }

    /// Lets the threads finish what is queued, without waiting for them: the last reference may be
    /// one that a job held.
    deinit { close() }

    package var threadCount: Int { threads.count }

    /// Jobs that no thread has taken yet.
    package var waitingCount: Int { queue.withLock { $0.count } }

    /// Queues a job; never waits.
    ///
    /// A job that comes after `shutDown`, or while too many wait, runs at once on the calling thread, so that
    /// nobody waits for it in vain.
    package func submit(_ job: @escaping @Sendable () -> Void) {
        let isQueued = queue.withLock { $0.append(job) }
        if isQueued { queue.wakeOne() } else { job() }
    }

    /// Waits until all queued jobs are done and the threads have ended. Not to be called by a job.
    package func shutDown() {
        close()
        for thread in threads { thread.join() }
    }

    private func close() {
        queue.withLock { $0.isClosed = true }
        queue.wakeAll()
    }
}

/// A ring of jobs.
private struct JobQueue {
    typealias Job = @Sendable () -> Void

    var isClosed = false
    private(set) var count = 0
    private let limit: Int
    private var ring: [Job?] = Array(repeating: nil, count: 64)
    private var head = 0

    init(limit: Int) { self.limit = limit }

    /// - Returns: `false` if the queue is closed or full.
    mutating func append(_ job: @escaping Job) -> Bool {
        guard !isClosed, count < limit else { return false }
        if count == ring.count {
            ring = Array(ring[head...] + ring[..<head]) + Array(repeating: nil, count: count)
            head = 0
        }
        ring[(head + count) % ring.count] = job
        count += 1
        return true
    }

    /// The next job; `.some(nil)` when there will be none, `nil` when there is none yet.
    mutating func next() -> Job?? {
        guard count > 0 else { return isClosed ? .some(nil) : nil }
        defer {
            ring[head] = nil
            head = (head + 1) % ring.count
            count -= 1
        }
        return .some(ring[head])
    }
}
