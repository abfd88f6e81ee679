import CZlib

/// Decompresses a gzip body (RFC 1952) piece by piece, with output bounded by the caller's buffer.
///
/// Several members one after the other are one body, as for gzip(1). How much a body may grow is up
/// to the caller: nothing is produced beyond the buffer given, and both counts are known.
final class GzipInflater {
    /// Bytes taken in and bytes produced so far.
    private(set) var inputByteCount: UInt64 = 0
    private(set) var outputByteCount: UInt64 = 0

    /// zlib keeps the address of its stream, so it must not move.
    private let stream: UnsafeMutablePointer<z_stream>
    /// Members that ended so far.
    private var memberCount = 0
    private var isInMember = false
    private var failure: GzipError?

    /// The largest window, and gzip frames only.
    private static let windowBits: Int32 = 15 + 16

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let status = inflateInit2_(
            stream, Self.windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib cannot start: \(status)")
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Decompresses until `output` is full or `input` is used up.
    ///
    /// When it returns as many bytes as `output` has, there may be more to come even without more
    /// input; call again until it returns fewer.
    ///
    /// - Parameters:
    ///   - input: Moved past the bytes taken.
    ///   - output: At least one byte.
    /// - Returns: Bytes written to `output`.
    /// - Throws: `notGzip`, `wrongChecksum`, `damaged`, or `textAfterEnd`; then again at every call.
    func inflate(
        _ input: inout UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(GzipError) -> Int {
        precondition(!output.isEmpty, "without room nothing can be decompressed")
        if let failure { throw failure }
        var written = 0
        while written < output.count {
            if !isInMember {
                guard !input.isEmpty else { break }
                inflateReset(stream)
                isInMember = true
            }
            let room = UnsafeMutableRawBufferPointer(rebasing: output[written...])
            let (count, isStuck) = try step(&input, into: room)
            written += count
            if isStuck { break }
        }
        return written
    }

    /// Must be called when the body has ended.
    ///
    /// - Throws: `cut` unless it ended with a whole member.
    func finish() throws(GzipError) {
        if let failure { throw failure }
        guard memberCount > 0 && !isInMember else { throw .cut(inputByteCount: inputByteCount) }
    }

    /// One call of zlib, at most 1 GiB each way because its counts have 32 bits.
    private func step(
        _ input: inout UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(GzipError) -> (written: Int, isStuck: Bool) {
        let given = min(input.count, 1 << 30)
        let room = min(output.count, 1 << 30)
        // zlib does not write to its input; the C header merely lacks the const.
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(given)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room)
        let status = CZlib.inflate(stream, Z_NO_FLUSH)
        let taken = given - Int(stream.pointee.avail_in)
        let written = room - Int(stream.pointee.avail_out)
        input = UnsafeRawBufferPointer(rebasing: input[taken...])
        inputByteCount += UInt64(taken)
        outputByteCount += UInt64(written)
        switch status {
        case Z_STREAM_END:
            memberCount += 1
            isInMember = false
            return (written, false)
        case Z_OK:
            return (written, false)
        case Z_BUF_ERROR:  // nothing to do without more input
            return (written, true)
        default:
            throw fail(status)
        }
    }

    private func fail(_ status: Int32) -> GzipError {
        let reason = stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(status)"
        let error: GzipError =
            switch reason {
            case "incorrect header check" where memberCount == 0: .notGzip
            case "incorrect header check": .textAfterEnd(inputByteCount: inputByteCount)
            case "incorrect data check", "incorrect length check":
                .wrongChecksum(inputByteCount: inputByteCount)
            default: .damaged(reason: reason, inputByteCount: inputByteCount)
            }
        failure = error
        return error
    }
}

/// Why a compressed body was refused. Counts are of compressed bytes taken before it was noticed.
enum GzipError: Error, Equatable, CustomStringConvertible {
    case notGzip
    case cut(inputByteCount: UInt64)
    case wrongChecksum(inputByteCount: UInt64)
    case textAfterEnd(inputByteCount: UInt64)
    case damaged(reason: String, inputByteCount: UInt64)

    var description: String {
        switch self {
        case .notGzip:
            "the body is not gzip, though Content-Encoding says so"
        case .cut(let count):
            "the gzip body ends after \(count) bytes, before its end; it was cut, send it again"
        case .wrongChecksum(let count):
            "the checksum in the gzip body is wrong at byte \(count); it was damaged on the way"
        case .textAfterEnd(let count):
            "the gzip body goes on after its end at byte \(count) with something that is not gzip"
        case .damaged(let reason, let count):
            "the gzip body is damaged at byte \(count): \(reason)"
        }
    }
}
