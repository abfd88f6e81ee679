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
    }

    private let source: any RequestBodySource
    private let state = Mutex(State())

    init(_ source: any RequestBodySource) { self.source = source }

    /// What the source threw.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Nobody wants the rest.
    func stop() { state.withLock { $0.isStopped = true } }

    func makeAsyncIterator() -> Iterator { Iterator(feed: self) }

    struct Iterator: AsyncIteratorProtocol {
        let feed: RequestBodyFeed

        func next() async throws -> ByteBuffer? {
            if feed.state.withLock({ $0.isStopped }) { throw CancellationError() }
            do {
                return try await feed.source.next()?.storage
            } catch {
                feed.state.withLock { $0.failure = $0.failure ?? error }
                throw error
            }
        }
    }
}
