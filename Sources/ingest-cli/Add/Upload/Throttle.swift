import IngestClient
import Synchronization

/// How fast uploads send, all of them together.
final class SendPace: Sendable {
    private let bytesPerSecond: Int
    /// When what was let go so far may have been sent.
    private let due = Mutex(ContinuousClock.now)

    /// - Parameter bytesPerSecond: At least 1.
    init(bytesPerSecond: Int) {
        self.bytesPerSecond = bytesPerSecond
    }

    /// A quarter of a second's worth, so that no connection is idle for long.
    var pieceByteCount: Int { max(1, bytesPerSecond / 4) }

    /// Waits until so many bytes more may be sent.
    func wait(for byteCount: Int) async throws {
        let now = ContinuousClock.now
        let start = due.withLock { due in
            let start = max(due, now)
            due = start + .nanoseconds(Int64(Double(byteCount) / Double(bytesPerSecond) * 1e9))
            return start
        }
        if start > now { try await Task.sleep(until: start, clock: .continuous) }
    }
}

/// Sends another body at a pace.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time.
final class Throttle: RequestBodySource, @unchecked Sendable {
    private let source: any RequestBodySource
    private let pace: SendPace
    private var rest: TransferBuffer?

    private init(_ source: any RequestBodySource, _ pace: SendPace) {
        self.source = source
        self.pace = pace
    }

    /// The body at a pace, if there is one to keep.
    static func body(
        _ source: any RequestBodySource, _ pace: SendPace?
    ) -> any RequestBodySource {
        pace.map { Throttle(source, $0) } ?? source
    }

    func next() async throws -> TransferBuffer? {
        if rest.map({ $0.byteCount == 0 }) ?? true { rest = try await source.next() }
        guard let piece = rest?.removeFirst(atMost: pace.pieceByteCount) else { return nil }
        try await pace.wait(for: piece.byteCount)
        return piece
    }
}
