import Hummingbird
import ImportPipeline
import NIOCore

/// The body of an upload in pieces of bounded length, unpacked if it came compressed.
final class UploadBody {
    private let body: RequestBody
    /// Made when the first piece is asked for: a request gives its body once, and one that is refused
    /// before may still be passed on to another peer.
    private var source: RequestBody.AsyncIterator?
    private var inflater: GzipInflater?
    /// What was received and not handed out yet.
    private var received = ByteBuffer()
    private let count: (Int) -> Void
    private var isEnded = false

    /// - Parameter count: Told how many bytes each receive brought.
    init(_ body: RequestBody, isCompressed: Bool, count: @escaping (Int) -> Void) {
        self.body = body
        inflater = isCompressed ? GzipInflater() : nil
        self.count = count
    }

    /// The next piece, at most `ImportPipeline.maximumRunByteCount` long; `nil` at the end.
    func next() async throws -> ByteBuffer? {
        while true {
            if received.readableBytes == 0, !mayHoldMore, !isEnded {
                if let buffer = try await receive() {
                    count(buffer.readableBytes)
                    received = buffer
                } else {
                    isEnded = true
                    try inflater?.finish()
                }
            }
            if inflater != nil {
                if let piece = try inflate() { return piece }
                if isEnded { return nil }
                continue
            }
            if isEnded { return nil }
            let piece = received.readSlice(
                length: min(received.readableBytes, ImportPipeline.maximumRunByteCount))
            if let piece, piece.readableBytes > 0 { return piece }
        }
    }

    private func receive() async throws -> ByteBuffer? {
        if source == nil { source = body.makeAsyncIterator() }
        return try await source?.next()
    }

    private static let inflatedByteCount = 256 << 10
    /// The last piece was full, so more may come out without more going in.
    private var mayHoldMore = false

    /// Unpacks what was received, a bounded piece at a time.
    private func inflate() throws -> ByteBuffer? {
        guard received.readableBytes > 0 || mayHoldMore else { return nil }
        var piece = ByteBufferAllocator().buffer(capacity: Self.inflatedByteCount)
        var consumed = 0
        try piece.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.inflatedByteCount) {
            space in
            try received.withUnsafeReadableBytes { input in
                var rest = input
                let produced = try inflater!.inflate(&rest, into: space)
                consumed = input.count - rest.count
                return produced
            }
        }
        received.moveReaderIndex(forwardBy: consumed)
        mayHoldMore = piece.readableBytes == Self.inflatedByteCount
        return piece.readableBytes > 0 ? piece : nil
    }
}
