import Synchronization

/// Large buffers that all users of a process share.
///
/// Every user owns as many as it needs to get on and always gets those; what it holds beyond them
/// comes from a common store, and only when there is one to spare. Nobody ever waits for another
/// user's network or disk.
package final class BufferPool<Buffer: Sendable>: Sendable {
    private struct Store {
        var idle: [Buffer] = []
        var spareCount: Int
    }

    private let store: Mutex<Store>
    private let make: @Sendable () -> Buffer

    /// Idle buffers kept; more are given back to the system.
    private static var idleLimit: Int { 16 }

    /// - Parameters:
    ///   - spareCount: Buffers beyond those that users own.
    ///   - make: Makes one when none is idle.
    package init(spareCount: Int, make: @escaping @Sendable () -> Buffer) {
        store = Mutex(Store(spareCount: spareCount))
        self.make = make
    }

    /// A buffer out of those that a user owns.
    package func takeOwned() -> Buffer {
        store.withLock { $0.idle.popLast() } ?? make()
    }

    /// A buffer from the common store, or `nil` when all are in use.
    package func takeSpare() -> Buffer? {
        let isGranted = store.withLock { store in
            guard store.spareCount > 0 else { return false }
            store.spareCount -= 1
            return true
        }
        return isGranted ? takeOwned() : nil
    }

    package func returnSpares(_ count: Int) {
        store.withLock { $0.spareCount += count }
    }

    /// Keeps a buffer nobody uses any more for the next taker.
    package func reuse(_ buffer: Buffer) {
        store.withLock { store in
            if store.idle.count < Self.idleLimit { store.idle.append(buffer) }
        }
    }
}
