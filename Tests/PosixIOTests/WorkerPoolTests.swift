import Glibc
import Synchronization
import Testing

@testable import PosixIO

@Suite struct WorkerPoolTests {
    @Test func everyJobIsDoneOnce() throws {
        let pool = try WorkerPool(name: "test", threadCount: 3)
        let done = Mutex([Int]())
        for number in 0..<5000 {
            pool.submit { done.withLock { $0.append(number) } }
        }
        pool.shutDown()
        #expect(done.withLock { $0.sorted() } == Array(0..<5000))
    }

    @Test func oneThreadKeepsTheOrder() throws {
        let pool = try WorkerPool(name: "test", threadCount: 1)
        let done = Mutex([Int]())
        for number in 0..<500 {
            pool.submit { done.withLock { $0.append(number) } }
        }
        pool.shutDown()
        #expect(done.withLock { $0 } == Array(0..<500))
    }

    @Test func submittingDoesNotWaitForABusyThread() throws {
        let pool = try WorkerPool(name: "test", threadCount: 1)
        let gate = Monitor(false)
        pool.submit { gate.wait { $0 ? () : nil } }
        for _ in 0..<100 { pool.submit {} }
        #expect(pool.waitingCount >= 100)
        gate.withLock { $0 = true }
        gate.wakeAll()
        pool.shutDown()
        #expect(pool.waitingCount == 0)
    }

    @Test func whoSubmitsMoreThanMayWaitDoesItAtOnce() throws {
        let pool = try WorkerPool(name: "test", threadCount: 1, queueLimit: 3)
        let gate = Monitor(false)
        let begun = Monitor(false)
        pool.submit {
            begun.withLock { $0 = true }
            begun.wakeAll()
            gate.wait { $0 ? () : nil }
        }
        begun.wait { $0 ? () : nil }
        let done = Mutex([Int]())
        for number in 0..<5 { pool.submit { done.withLock { $0.append(number) } } }
        #expect(done.withLock { $0 } == [3, 4])
        gate.withLock { $0 = true }
        gate.wakeAll()
        pool.shutDown()
        #expect(done.withLock { $0 } == [3, 4, 0, 1, 2])
    }

    @Test func jobAfterShutDownStillRuns() throws {
        let pool = try WorkerPool(name: "test", threadCount: 2)
        pool.shutDown()
        let ran = Mutex(false)
        pool.submit { ran.withLock { $0 = true } }
        #expect(ran.withLock { $0 })
    }

    @Test func poolReleasedByItsOwnJobDoesNotHang() async throws {
        let completion = Completion<Int>()
        do {
            let pool = try WorkerPool(name: "test", threadCount: 1)
            pool.submit { [pool] in completion.finish(.success(pool.threadCount)) }
        }
        #expect(try await completion.value() == 1)
    }

    @Test func taskGetsTheWorkersResultOrError() async throws {
        let pool = try WorkerPool(name: "test", threadCount: 2)
        #expect(try await pool.run { 6 * 7 } == 42)
        await #expect(throws: IOError("write", "x", .system(5))) {
            try await pool.run { throw IOError("write", "x", .system(5)) }
        }
        pool.shutDown()
    }

    @Test func aNiceThreadStandsBackForTheOthers() async throws {
        let pool = try WorkerPool(name: "test", threadCount: 1, niceness: 3)
        defer { pool.shutDown() }
        let kind = __priority_which_t(PRIO_PROCESS.rawValue)
        let own = getpriority(kind, 0)
        #expect(try await pool.run { getpriority(kind, 0) } == min(own + 3, 19))
    }
}
