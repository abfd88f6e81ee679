import AsyncHTTPClient
import NIOCore

/// The events of one watch, a batch for each message of etcd's, in the order of their revisions.
///
/// It ends, by throwing, when etcd cancels the watch or the connection breaks.
package struct EtcdEvents: AsyncSequence, Sendable {
    package typealias Element = [EtcdKeyValue]

    let body: HTTPClientResponse.Body

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(body: body.makeAsyncIterator())
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        /// One message holds at most one command of the largest size and what surrounds it.
        private static let messageByteCountLimit = 16 << 20

        var body: HTTPClientResponse.Body.AsyncIterator
        private var received = ByteBuffer()
        private var scannedByteCount = 0

        init(body: HTTPClientResponse.Body.AsyncIterator) {
            self.body = body
        }

        /// The next events; an empty batch says that the watch stands.
        package mutating func next() async throws -> [EtcdKeyValue]? {
            guard let line = try await nextLine() else {
                throw EtcdError.noAnswer(cause: "the watch ended")
            }
            let message: WatchAnswer = try decoded(line)
            if let error = message.error { throw error.asError }
            guard let result = message.result else { throw EtcdError.malformed("an empty message") }
            if result.canceled == true {
                throw EtcdError.refused(
                    code: 11,
                    message: "the watch was cancelled: "
                        + (result.cancelReason
                            ?? "it began below revision \(result.compactRevision ?? "?")"))
            }
            return try (result.events ?? []).map { try $0.kv.keyValue() }
        }

        private mutating func nextLine() async throws -> ByteBuffer? {
            while true {
                let view = received.readableBytesView.dropFirst(scannedByteCount)
                if let end = view.firstIndex(of: UInt8(ascii: "\n")) {
                    let line = received.readSlice(length: end - received.readerIndex)
                    received.moveReaderIndex(forwardBy: 1)
                    received.discardReadBytes()
                    scannedByteCount = 0
                    return line
                }
                scannedByteCount = received.readableBytes
                guard scannedByteCount <= Self.messageByteCountLimit else {
                    throw EtcdError.malformed("a message of more than 16 MiB")
                }
                do {
                    guard var piece = try await body.next() else { return nil }
                    received.writeBuffer(&piece)
                } catch {
                    if Task.isCancelled { throw CancellationError() }
                    throw EtcdError.noAnswer(cause: String(describing: error))
                }
            }
        }
    }
}
