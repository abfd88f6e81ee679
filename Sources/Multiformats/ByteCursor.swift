/// Reads back what was written as varints, CIDs and runs of bytes.
package struct ByteCursor {
    private let bytes: UnsafeRawBufferPointer
    package private(set) var position = 0

    package init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    package var isAtEnd: Bool { position >= bytes.count }

    package mutating func byte() throws(ByteCursorError) -> UInt8 {
        guard position < bytes.count else { throw ByteCursorError() }
        defer { position += 1 }
        return bytes[position]
    }

    package mutating func number() throws(ByteCursorError) -> UInt64 {
        do { return try Varint.decode(bytes, at: &position) } catch { throw ByteCursorError() }
    }

    package mutating func count() throws(ByteCursorError) -> Int {
        guard let count = Int(exactly: try number()) else { throw ByteCursorError() }
        return count
    }

    package mutating func cid() throws(ByteCursorError) -> CID {
        do { return try CID.decode(bytes, at: &position) } catch { throw ByteCursorError() }
    }

    /// Bytes that are preceded by their number.
    package mutating func run() throws(ByteCursorError) -> [UInt8] {
        let count = try count()
        guard count <= bytes.count - position else { throw ByteCursorError() }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }
}

/// What is read is not what was written.
package struct ByteCursorError: Error {
    package init() {}
}

/// Writes what `ByteCursor` reads.
extension [UInt8] {
    package mutating func append(_ cid: CID) { cid.append(to: &self) }

    package mutating func appendNumber(_ number: UInt64) { Varint.append(number, to: &self) }

    package mutating func appendRun(_ run: [UInt8]) {
        appendNumber(UInt64(run.count))
        append(contentsOf: run)
    }
}
