/// What a `Range` field asks for (RFC 9110, section 14) of content of some length.
package enum ByteRange: Equatable, Sendable {
    /// All of it: there is no such field, or one that is to be ignored. So is one with several ranges.
    case all
    /// One range that is not empty.
    case part(Range<Int>)
    /// A range without a single byte of the content.
    case unsatisfiable

    package init(_ field: String?, byteCount: Int) {
        self = .all
        guard let field, field.hasPrefix("bytes=") else { return }
        let ends = field.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
        guard ends.count == 2, ends.allSatisfy({ $0.utf8.allSatisfy(isDigit) }) else { return }
        // What has more digits than a number here is behind any end.
        let (first, last) = (Int(ends[0]) ?? .max, Int(ends[1]) ?? .max)
        switch (ends[0].isEmpty, ends[1].isEmpty) {
        case (true, true): return
        case (true, false): self = .init(from: max(0, byteCount - last), before: byteCount)
        case (false, true): self = .init(from: first, before: byteCount)
        case (false, false):
            self = .init(from: first, before: last < byteCount ? last + 1 : byteCount)
        }
    }

    private init(from start: Int, before end: Int) {
        self = start < end ? .part(start..<end) : .unsatisfiable
    }
}
