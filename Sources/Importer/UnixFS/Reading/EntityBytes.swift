/// Why an `entity-bytes` parameter cannot be used.
package struct EntityBytesError: Error, Equatable, CustomStringConvertible {
    let text: String

    package var description: String {
        "entity-bytes '\(text)' is not a range: write from:to with whole numbers, both ends "
            + "inclusive, negative ones counted from the end, and * for the end of the file"
    }
}

/// The `entity-bytes=from:to` parameter of a trustless gateway request (IPIP-402).
package struct EntityBytes: Equatable, Sendable {
    /// First byte; counted from the end of the file when negative.
    package let from: Int
    /// Last byte, itself included; counted from the end when negative. `nil` is the end.
    package let to: Int?

    /// Bytes `from` to `to`, both included.
    package init(from: Int, to: Int?) {
        self.from = from
        self.to = to
    }

    /// - Throws: When `text` is not two numbers, or the first plainly lies behind the second.
    package init(parsing text: String) throws(EntityBytesError) {
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, let from = Self.number(parts[0]) else {
            throw EntityBytesError(text: text)
        }
        self.from = from
        if parts[1].elementsEqual("*".utf8) {
            to = nil
            return
        }
        guard let to = Self.number(parts[1]), (from < 0) != (to < 0) || from <= to else {
            throw EntityBytesError(text: text)
        }
        self.to = to
    }

    private static func number(_ digits: Substring.UTF8View) -> Int? {
        digits.first == UInt8(ascii: "+") ? nil : Int(Substring(digits))
    }

    /// The bytes meant in a file of this length; empty when the file has none of them.
    package func range(inFileOf byteCount: Int) -> Range<Int> {
        // `from` and `to` are at least Int.min and `byteCount` is not negative: no overflow.
        let start = from < 0 ? max(0, byteCount + from) : from
        let last = to.map { $0 < 0 ? byteCount + $0 : min($0, byteCount - 1) } ?? byteCount - 1
        return start <= last ? start..<last + 1 : 0..<0
    }
}
