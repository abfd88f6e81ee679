/// A recipe for the bytes of a file; the same recipe gives the same bytes everywhere.
package indirect enum InputSpec: Sendable {
    case bytes([UInt8])
    case zeros(byteCount: Int)
    case repeated(unit: [UInt8], times: Int)
    /// Byte `i` is `i` modulo 251.
    case counter(byteCount: Int)
    /// The RFC 8439 key stream whose key is the SHA-256 of `seed`, with a zero nonce.
    case chacha20(seed: String, byteCount: Int, skip: Int = 0)
    /// `Read` of Go's `math/rand` version 1.
    case goMathRand(seed: Int, byteCount: Int, skip: Int = 0)
    /// xorshift64*, eight little-endian bytes a step.
    case xorshift(seed: UInt64, byteCount: Int, skip: Int = 0)
    case fixture(path: String)
    case concatenation([InputSpec])

    /// Reads the `data` member of a file.
    package init(_ tree: JSONTree) {
        let skip = tree["skip"]?.integer ?? 0
        switch tree.member("gen").text {
        case "utf8":
            self = .bytes(tree.member("text").bytes)
        case "b64":
            self = .bytes(tree.member("b64").bytesFromBase64)
        case "zeros":
            self = .zeros(byteCount: tree.member("size").integer)
        case "repeat":
            let unit = tree["b64"]?.bytesFromBase64 ?? tree.member("text").bytes
            self = .repeated(unit: unit, times: tree.member("times").integer)
        case "counter":
            self = .counter(byteCount: tree.member("size").integer)
        case "chacha20":
            self = .chacha20(
                seed: tree.member("seed").text, byteCount: tree.member("size").integer, skip: skip)
        case "go-mathrand":
            self = .goMathRand(
                seed: tree.member("seed").integer, byteCount: tree.member("size").integer,
                skip: skip)
        case "xorshift":
            self = .xorshift(
                seed: UInt64(bitPattern: Int64(tree.member("seed").integer)),
                byteCount: tree.member("size").integer, skip: skip)
        case "file":
            self = .fixture(path: tree.member("path").text)
        case "concat":
            self = .concatenation(tree.member("parts").elements.map(InputSpec.init))
        case let other:
            preconditionFailure("unknown input \(other)")
        }
    }

    package var byteCount: Int {
        switch self {
        case .bytes(let bytes): bytes.count
        case .zeros(let count), .counter(let count): count
        case .repeated(let unit, let times): unit.count * times
        case .chacha20(_, let count, _), .goMathRand(_, let count, _), .xorshift(_, let count, _):
            count
        case .fixture(let path): VectorFiles.fixture(path).count
        case .concatenation(let parts): parts.reduce(0) { $0 + $1.byteCount }
        }
    }

    /// All bytes at once.
    package var bytes: [UInt8] {
        if case .bytes(let bytes) = self { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(byteCount)
        forEachPiece { result += $0 }
        return result
    }

    /// Hands over the bytes in order; no piece is empty.
    ///
    /// Generated pieces have at most about 256 KiB; literal bytes and fixtures come as one.
    package func forEachPiece(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        switch self {
        case .bytes(let bytes):
            try passOn(bytes, body)
        case .fixture(let path):
            try passOn(VectorFiles.fixture(path), body)
        case .zeros(let byteCount):
            try passOn([UInt8](repeating: 0, count: 1 << 18), cycledFor: byteCount, body)
        case .counter(let byteCount):
            try passOn(Self.repetition(of: Array(0..<251)), cycledFor: byteCount, body)
        case .repeated(let unit, let times):
            try passOn(Self.repetition(of: unit), cycledFor: unit.count * times, body)
        case .chacha20(let seed, let byteCount, let skip):
            var stream = ChaCha20KeyStream(seed: seed)
            try passOn(&stream, byteCount: byteCount, skip: skip, body)
        case .goMathRand(let seed, let byteCount, let skip):
            var random = GoRandom(seed: seed)
            try passOn(&random, byteCount: byteCount, skip: skip, body)
        case .xorshift(let seed, let byteCount, let skip):
            var stream = XorshiftStream(seed: seed)
            try passOn(&stream, byteCount: byteCount, skip: skip, body)
        case .concatenation(let parts):
            for part in parts { try part.forEachPiece(body) }
        }
    }

    /// Whole copies of `unit`, about 256 KiB of them.
    private static func repetition(of unit: [UInt8]) -> [UInt8] {
        let times = max(1, (1 << 18) / max(1, unit.count))
        return [UInt8](
            unsafeUninitializedCapacity: times * unit.count
        ) { buffer, count in
            unit.withUnsafeBytes { unit in
                for copy in 0..<times {
                    UnsafeMutableRawBufferPointer(buffer)[(copy * unit.count)...].copyBytes(
                        from: unit)
                }
            }
            count = times * unit.count
        }
    }

    private func passOn(
        _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        if !bytes.isEmpty { try bytes.withUnsafeBytes(body) }
    }

    private func passOn(
        _ cycle: [UInt8], cycledFor byteCount: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        try cycle.withUnsafeBytes { cycle in
            for start in stride(from: 0, to: byteCount, by: max(1, cycle.count)) {
                try body(UnsafeRawBufferPointer(rebasing: cycle.prefix(byteCount - start)))
            }
        }
    }

    private func passOn(
        _ stream: inout some ByteStream, byteCount: Int, skip: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 57344, alignment: 64)
        defer { buffer.deallocate() }
        var skip = skip
        var left = byteCount
        while left > 0 {
            stream.fill(buffer)
            let piece = UnsafeRawBufferPointer(rebasing: buffer.dropFirst(skip).prefix(left))
            skip = max(0, skip - buffer.count)
            left -= piece.count
            if !piece.isEmpty { try body(piece) }
        }
    }
}

/// An endless run of bytes.
protocol ByteStream {
    /// Writes the next `buffer.count` bytes, a multiple of 7 * 64.
    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer)
}
