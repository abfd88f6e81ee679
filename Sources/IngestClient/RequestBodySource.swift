import NIOCore
import Synchronization

/// Makes the body of a request piece by piece, while it is sent.
package protocol RequestBodySource: AnyObject, Sendable {
    /// The next piece; `nil` at the end. Called again only after the piece before is on its way.
    func next() async throws -> TransferBuffer?
}

/// Hands a source to the transport, and knows afterwards how that went.
final class RequestBodyFeed: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    private struct State {
        var failure: (any Error)?
        var isStopped = false
        /// The source is being asked.
        var isAsking = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    private let source: any RequestBodySource
    private let state = Mutex(State())

    init(_ source: any RequestBodySource) { self.source = source }

    /// What the source threw.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Nobody wants the rest. On return the source is left alone.
    func stop() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                state.isStopped = true
                if state.isAsking { state.waiting = continuation }
                return !state.isAsking
            }
            if isIdle { continuation.resume() }
        }
    }

    private func ask() async throws -> ByteBuffer? {
        let isStopped = state.withLock { state in
            state.isAsking = !state.isStopped
            return state.isStopped
        }
        if isStopped { throw CancellationError() }
        defer {
            let waiting = state.withLock { state in
                state.isAsking = false
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume()
        }
        do {
            return try await source.next()?.storage
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
            throw error
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(feed: self) }

    struct Iterator: AsyncIteratorProtocol {
        let feed: RequestBodyFeed

        func next() async throws -> ByteBuffer? { try await feed.ask() }
    }
}
