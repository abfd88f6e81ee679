import PosixIO
import Synchronization

/// The write buffers all open shards of a process share.
///
/// A writer owns one segment, so that it always gets on; more of them, which let it fill one
/// segment while others are written, come from a common store when there is one to spare.
package final class SegmentPool: Sendable {
    /// Large enough that the file system sees few, long writes.
    static let segmentByteCount = 2 << 20

    private struct Store {
        var idle: [AlignedBuffer] = []
        var spareCount: Int
    }

    private let store: Mutex<Store>

    /// - Parameter spareCount: Segments beyond the one that each writer owns.
    package init(spareCount: Int) {
        store = Mutex(Store(spareCount: spareCount))
    }

    func takeOwned() -> AlignedBuffer {
        store.withLock { $0.idle.popLast() } ?? AlignedBuffer(byteCount: Self.segmentByteCount)
    }

    func takeSpare() -> AlignedBuffer? {
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

    func reuse(_ segment: AlignedBuffer) {
        store.withLock { store in
            if store.idle.count < Self.idleLimit { store.idle.append(segment) }
        }
    }

    private static let idleLimit = 16
}
