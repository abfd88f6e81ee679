import Synchronization

/// The input buffers all imports of a process share.
///
/// Every import owns two slabs, so that it always gets on; what it holds beyond them comes from a
/// common store and is only taken when there is one to spare. An import therefore never waits for
/// another one's network.
package final class SlabPool: Sendable {
    /// Room in a slab for chunks of up to 1 MiB; longer chunks use the second half of it too.
    static let usualByteCount = 2 << 20
    /// A carried-over tail and a whole chunk of the largest size fit together.
    static let slabByteCount = 2 * usualByteCount

    private struct Store {
        var idle: [Slab] = []
        var spareCount: Int
    }

    private let store: Mutex<Store>

    /// - Parameter spareCount: Slabs beyond the two that each import owns.
    package init(spareCount: Int) {
        store = Mutex(Store(spareCount: spareCount))
    }

    /// A slab out of an import's own two.
    func takeOwned() -> Slab {
        store.withLock { $0.idle.popLast() } ?? Slab(byteCount: Self.slabByteCount)
    }

    /// A slab from the common store, or `nil` when all are in use.
    func takeSpare() -> Slab? {
        let isGranted = store.withLock { store in
            guard store.spareCount > 0 else { return false }
            store.spareCount -= 1
            return true
        }
        return isGranted ? takeOwned() : nil
    }

    func returnSpares(_ count: Int) {
        store.withLock { $0.spareCount += count }
    }

    /// Keeps a slab nobody uses any more for the next taker.
    func reuse(_ slab: Slab) {
        slab.clear()
        store.withLock { store in
            if store.idle.count < Self.idleLimit { store.idle.append(slab) }
        }
    }

    /// Idle slabs kept; more are given back to the system.
    private static let idleLimit = 16
}
