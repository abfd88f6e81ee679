import CZlib
import Testing

@testable import ingestd

/// Compresses with zlib as one gzip member.
private func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    deflateInit2_(
        &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size))
    defer { deflateEnd(&stream) }
    var input = bytes
    var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))) + 64)
    let count = input.withUnsafeMutableBufferPointer { input in
        output.withUnsafeMutableBufferPointer { output in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = output.baseAddress
            stream.avail_out = UInt32(output.count)
            #expect(deflate(&stream, Z_FINISH) == Z_STREAM_END)
            return output.count - Int(stream.avail_out)
        }
    }
    return Array(output[..<count])
}

/// Decompresses pieces through a buffer of the given size.
private func inflate(_ pieces: [[UInt8]], bufferByteCount: Int = 64) throws -> [UInt8] {
    let inflater = GzipInflater()
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: bufferByteCount)
    for piece in pieces {
        try piece.withUnsafeBytes { bytes in
            var input = bytes
            var count = 0
            repeat {
                count = try buffer.withUnsafeMutableBytes { try inflater.inflate(&input, into: $0) }
                #expect(count <= bufferByteCount)
                output += buffer[..<count]
            } while count == bufferByteCount
            #expect(input.isEmpty)
        }
    }
    try inflater.finish()
    #expect(inflater.outputByteCount == UInt64(output.count))
    #expect(inflater.inputByteCount == UInt64(pieces.reduce(0) { $0 + $1.count }))
    return output
}

struct GzipInflaterTests {
    private let text = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* $0 / 7) }

    @Test(arguments: [1, 7, 64, 4999, 5000, 5001, 100_000])
    func whatWasCompressedComesBackThroughAnyBuffer(bufferByteCount: Int) throws {
        let body = gzip(text)
        #expect(try inflate([body], bufferByteCount: bufferByteCount) == text)
        #expect(try inflate(body.map { [$0] }, bufferByteCount: bufferByteCount) == text)
        #expect(try inflate([[], body, []], bufferByteCount: bufferByteCount) == text)
    }

    @Test func anEmptyMemberIsABody() throws {
        #expect(try inflate([gzip([])]) == [])
    }

    @Test func membersOneAfterTheOtherAreOneBody() throws {
        let body = gzip(text) + gzip([]) + gzip(Array("more".utf8))
        let expected = text + Array("more".utf8)
        #expect(try inflate([body]) == expected)
        #expect(try inflate(body.map { [$0] }) == expected)
    }

    @Test func everyCutIsNoticed() {
        let body = gzip(Array("a short text".utf8))
        for count in 0..<body.count {
            #expect(throws: GzipError.cut(inputByteCount: UInt64(count))) {
                try inflate([Array(body[..<count])])
            }
        }
        let two = body + body
        #expect(throws: GzipError.cut(inputByteCount: UInt64(two.count - 1))) {
            try inflate([two.dropLast()])
        }
    }

    @Test func aWrongChecksumOrLengthIsNoticed() {
        var body = gzip(text)
        body.replaceSubrange((body.count - 8)..., with: [UInt8](repeating: 0, count: 8))
        #expect(throws: GzipError.self) { try inflate([body]) }
        var length = gzip(text)
        length[length.count - 1] ^= 1
        do {
            _ = try inflate([length])
            Issue.record("accepted")
        } catch {
            guard case .wrongChecksum = error as? GzipError else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test func garbageIsNotGzip() {
        let text = Array("--boundary\r\n".utf8)
        #expect(throws: GzipError.notGzip) { try inflate([text]) }
        #expect(throws: GzipError.notGzip) { try inflate(text.map { [$0] }) }
        #expect(throws: GzipError.notGzip) { try inflate([[0x78, 0x9c, 3, 0, 0, 0, 0, 1]]) }
    }

    @Test func garbageAfterAMemberIsRefused() {
        let body = gzip(text)
        for garbage in [Array("garbage".utf8), [0, 0]] {
            #expect(throws: GzipError.textAfterEnd(inputByteCount: UInt64(body.count + 2))) {
                try inflate((body + garbage).map { [$0] })
            }
        }
    }

    @Test func damageInTheMiddleIsRefusedAndStaysRefused() throws {
        var body = gzip(text)
        body[10] = 0xff
        let inflater = GzipInflater()
        var buffer = [UInt8](repeating: 0, count: 100_000)
        for _ in 0..<2 {
            #expect(throws: GzipError.self) {
                try body.withUnsafeBytes { bytes in
                    var input = bytes
                    _ = try buffer.withUnsafeMutableBytes { try inflater.inflate(&input, into: $0) }
                }
            }
        }
        #expect(throws: GzipError.self) { try inflater.finish() }
    }

    /// A body that grows a thousandfold costs no more than the caller's buffer at a time.
    @Test func outputIsBoundedByTheBuffer() throws {
        let body = gzip([UInt8](repeating: 0, count: 8 << 20))
        #expect(body.count < 10_000)
        let inflater = GzipInflater()
        var buffer = [UInt8](repeating: 1, count: 4096)
        try body.withUnsafeBytes { bytes in
            var input = bytes
            let count = try buffer.withUnsafeMutableBytes { try inflater.inflate(&input, into: $0) }
            #expect(count == 4096)
        }
        #expect(inflater.outputByteCount == 4096)
    }
}
