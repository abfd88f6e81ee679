import Multiformats

/// Reads back what was written as varints, CIDs and runs of bytes.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { position >= bytes.count }

    mutating func byte() throws(ByteCursorError) -> UInt8 {
        guard position < bytes.count else { throw ByteCursorError() }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func number() throws(ByteCursorError) -> UInt64 {
        do { return try Varint.decode(bytes, at: &position) } catch { throw ByteCursorError() }
    }

    mutating func count() throws(ByteCursorError) -> Int {
        guard let count = Int(exactly: try number()) else { throw ByteCursorError() }
        return count
    }

    mutating func cid() throws(ByteCursorError) -> CID {
        do { return try CID.decode(bytes, at: &position) } catch { throw ByteCursorError() }
    }

    /// Bytes that are preceded by their number.
    mutating func run() throws(ByteCursorError) -> [UInt8] {
        let count = try count()
        guard count <= bytes.count - position else { throw ByteCursorError() }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }
}

/// What is read is not what was written.
struct ByteCursorError: Error {}

/// Writes what `ByteCursor` reads.
extension [UInt8] {
    mutating func append(_ cid: CID) { cid.append(to: &self) }

    mutating func appendNumber(_ number: UInt64) { Varint.append(number, to: &self) }

    mutating func appendRun(_ run: [UInt8]) {
        appendNumber(UInt64(run.count))
        append(contentsOf: run)
    }
}
