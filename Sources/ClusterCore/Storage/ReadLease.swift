import Synchronization

/// A read that is under way; it ends when nobody refers to it any more.
package final class ReadLease: Sendable {
    private let end: @Sendable () -> Void

    init(_ end: @escaping @Sendable () -> Void) {
        self.end = end
    }

    deinit {
        end()
    }
}

/// Calls back when nobody refers to it any more.
final class ReleaseSignal: Sendable {
    private let body: @Sendable () -> Void
    private let isArmed = Mutex(true)

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }

    deinit {
        if isArmed.withLock({ $0 }) { body() }
    }

    func disarm() { isArmed.withLock { $0 = false } }
}
