import IngestClient

/// Sends no more than so many bytes a second of another body.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time.
final class Throttle: RequestBodySource, @unchecked Sendable {
    private let source: any RequestBodySource
    private let bytesPerSecond: Int
    private var rest: TransferBuffer?
    /// When what was given so far may have been sent.
    private var due = ContinuousClock.now

    /// - Parameter bytesPerSecond: At least 1.
    init(_ source: any RequestBodySource, bytesPerSecond: Int) {
        self.source = source
        self.bytesPerSecond = bytesPerSecond
    }

    func next() async throws -> TransferBuffer? {
        if rest.map({ $0.byteCount == 0 }) ?? true { rest = try await source.next() }
        // A quarter of a second's worth, so that the connection is never idle for long.
        guard let piece = rest?.removeFirst(atMost: max(1, bytesPerSecond / 4)) else { return nil }
        let now = ContinuousClock.now
        if due > now {
            try await Task.sleep(until: due, clock: .continuous)
        } else {
            due = now
        }
        due += .nanoseconds(Int64(Double(piece.byteCount) / Double(bytesPerSecond) * 1e9))
        return piece
    }
}
