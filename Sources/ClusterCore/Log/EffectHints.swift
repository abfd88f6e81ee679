import Pinset
import Synchronization

/// What may have changed since the last look: a set, so repeated hints cost nothing.
package struct EffectHints: Equatable, Sendable {
    /// Each effect once, in the order of its first appearance.
    package fileprivate(set) var effects: [Effect] = []
    /// More has changed than was kept: look at everything.
    package fileprivate(set) var isIncomplete = false

    /// Kept effects. Beyond this a full look is cheaper than many small ones.
    private static let limit = 64

    fileprivate mutating func add(_ effect: Effect) {
        guard !isIncomplete, !effects.contains(effect) else { return }
        if effects.count < Self.limit {
            effects.append(effect)
        } else {
            effects = []
            isIncomplete = true
        }
    }
}

/// Hints for one consumer, merged while it is busy: it is never more than one element behind.
///
/// The first element comes at once and is incomplete, since a consumer begins with a full look.
package struct EffectStream: AsyncSequence, Sendable {
    let inbox: EffectInbox

    package struct AsyncIterator: AsyncIteratorProtocol {
        let inbox: EffectInbox
        var bell: AsyncStream<Void>.Iterator

        /// Ends with the driver or with the task.
        package mutating func next() async -> EffectHints? {
            await bell.next().map { inbox.take() }
        }
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(inbox: inbox, bell: inbox.bell.makeAsyncIterator())
    }
}

/// Collects hints between two looks of one consumer.
final class EffectInbox: Sendable {
    /// Buffers one ring: it says that there is something, not what.
    fileprivate let bell: AsyncStream<Void>
    private let ringer: AsyncStream<Void>.Continuation
    private let hints: Mutex<EffectHints>

    init() {
        (bell, ringer) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        hints = Mutex(EffectHints(isIncomplete: true))
        ringer.yield()
    }

    /// Never waits: a slow consumer does not hold the log.
    func wake(for effects: [Effect]) {
        guard !effects.isEmpty else { return }
        hints.withLock { hints in
            for effect in effects { hints.add(effect) }
        }
        ringer.yield()
    }

    /// More has changed than anyone can tell.
    func wakeForEverything() {
        hints.withLock { $0 = EffectHints(isIncomplete: true) }
        ringer.yield()
    }

    func finish() { ringer.finish() }

    fileprivate func take() -> EffectHints {
        hints.withLock { hints in
            defer { hints = EffectHints() }
            return hints
        }
    }
}
