/// One `name=value` of a query string, decoded; `value` is nil when there is no equals sign.
package struct QueryItem: Equatable, Sendable {
    package let name: String
    package let value: String?

    package init(name: String, value: String?) {
        self.name = name
        self.value = value
    }
}

/// The query string of a URL, as HTML forms and Go's `url.Values` write it.
package enum QueryString {
    /// Splits and decodes a query string; empty pairs (`a=1&&b=2`) are left out.
    ///
    /// - Parameter text: What follows the question mark, still percent-encoded.
    /// - Throws: `malformedQuery` for a `%` without two hexadecimal digits, for bytes that are not
    ///   UTF-8 and for NUL.
    package static func parse(_ text: String) throws(ParameterError) -> [QueryItem] {
        var items: [QueryItem] = []
        for pair in text.utf8.split(separator: UInt8(ascii: "&")) {
            let halves = pair.split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let name = try decode(halves[0], in: pair)
            let value = halves.count == 2 ? try decode(halves[1], in: pair) : nil
            items.append(QueryItem(name: name, value: value))
        }
        return items
    }

    /// Writes items so that `parse` gives them back.
    package static func encode(_ items: [QueryItem]) -> String {
        var text: [UInt8] = []
        for item in items {
            if !text.isEmpty { text.append(UInt8(ascii: "&")) }
            PercentCoding.appendQueryEscaped(item.name.utf8, to: &text)
            guard let value = item.value else { continue }
            text.append(UInt8(ascii: "="))
            PercentCoding.appendQueryEscaped(value.utf8, to: &text)
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func decode(
        _ half: Substring.UTF8View, in pair: Substring.UTF8View
    ) throws(ParameterError) -> String {
        guard let bytes = PercentCoding.decode(half, plusIsSpace: true), !bytes.contains(0),
            let text = String(validating: bytes, as: UTF8.self)
        else { throw .malformedQuery(pair.shown) }
        return text
    }
}
