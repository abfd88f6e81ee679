import Synchronization
import Testing

@testable import PosixIO

@Suite struct BufferPoolTests {
    private final class Made: Sendable {
        let count = Mutex(0)

        func next() -> Int {
            count.withLock {
                $0 += 1
                return $0
            }
        }
    }

    @Test func ownBuffersAreAlwaysThere() {
        let made = Made()
        let pool = BufferPool(spareCount: 0) { made.next() }
        #expect((0..<5).map { _ in pool.takeOwned() } == [1, 2, 3, 4, 5])
    }

    @Test func sparesAreGivenWhileThereAreAny() {
        let made = Made()
        let pool = BufferPool(spareCount: 2) { made.next() }
        #expect((0..<3).map { _ in pool.takeSpare() } == [1, 2, nil])
        pool.returnSpares(1)
        #expect([pool.takeSpare(), pool.takeSpare()] == [3, nil])
    }

    @Test func whatIsReusedIsTakenBeforeMoreIsMade() {
        let made = Made()
        let pool = BufferPool(spareCount: 1) { made.next() }
        let first = pool.takeOwned()
        pool.reuse(first)
        #expect([pool.takeSpare(), pool.takeOwned()] == [first, 2])
    }

    @Test func idleBuffersAreBounded() {
        let made = Made()
        let pool = BufferPool(spareCount: 0) { made.next() }
        for buffer in 0..<100 { pool.reuse(buffer) }
        for _ in 0..<100 { _ = pool.takeOwned() }
        #expect(made.count.withLock { $0 } == 100 - 16)
    }
}
