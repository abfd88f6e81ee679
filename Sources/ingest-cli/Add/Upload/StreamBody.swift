import Importer
import IngestAPI
import IngestClient

/// The body of an upload of what can be read only once. It remembers what the service may lack, so that
/// a failure of the network or of the service loses nothing.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time, and the command looks at the
/// result, or begins anew, only when the transport leaves it alone.
final class StreamBody: SourceBody, @unchecked Sendable {
    /// The most bytes that are remembered, but for a piece: so much is sent in one request.
    private static let byteLimit: UInt64 = 64 << 20

    private let body: any SourceBody
    /// What follows `start`, in the order it was read.
    private var pieces: [TransferBuffer] = []
    private var start: UInt64 = 0
    private var end: UInt64 = 0
    /// Pieces that the request at hand has got.
    private var sentCount = 0
    private var isStarted = false
    private var isComplete = false

    init(_ body: any SourceBody) {
        self.body = body
    }

    /// Known once the end has been read.
    var byteCount: UInt64? { isComplete ? end : nil }

    /// Reads so much before it is asked for, or everything.
    func readAhead(_ byteCount: UInt64) async throws {
        while !isComplete, end < byteCount { try await readPiece() }
    }

    /// On return there is something to send, or the end is known: nobody waits for a slow stream with a
    /// request open.
    func begin(at offset: UInt64) async throws {
        guard offset >= start, offset <= end else {
            throw ClientError.notUnderstood(
                address: "the service",
                what: "it wants byte \(offset) next, and was sent bytes \(start) to \(end)")
        }
        while let first = pieces.first, start < offset {
            let count = min(UInt64(first.byteCount), offset - start)
            pieces[0].dropFirst(Int(count))
            start += count
            if pieces[0].byteCount == 0 { pieces.removeFirst() }
        }
        sentCount = 0
        if pieces.isEmpty, !isComplete { try await readPiece() }
    }

    func next() async throws -> TransferBuffer? {
        if sentCount == pieces.count {
            guard !isComplete, end - start < Self.byteLimit else { return nil }
            try await readPiece()
            if isComplete { return nil }
        }
        sentCount += 1
        return pieces[sentCount - 1]
    }

    private func readPiece() async throws {
        if !isStarted {
            isStarted = true
            try await body.begin(at: 0)
        }
        guard let piece = try await body.next() else {
            isComplete = true
            return
        }
        end += UInt64(piece.byteCount)
        pieces.append(piece)
    }

    func finish(_ answer: AddedOutput) async throws -> ImportedEntry {
        try await body.finish(answer)
    }

    func abandon() async { await body.abandon() }

    var omissions: [WalkOmissions] { body.omissions }
}
