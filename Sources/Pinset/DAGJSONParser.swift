import Multiformats

/// Reads DAG-JSON back into CBOR values. Strict where it matters: one value, whole numbers,
/// bounded depth; lenient about white space and the order of keys.
struct DAGJSONParser {
    private static let maximumDepth = 64

    private let text: [UInt8]
    private var position = 0

    /// Reads the one value that fills `text`; `nil` if there is none.
    static func parse(_ text: [UInt8]) -> CBOR? {
        var parser = DAGJSONParser(text: text)
        guard let value = parser.value(depth: 0) else { return nil }
        parser.skipSpace()
        return parser.position == text.count ? value : nil
    }

    private init(text: [UInt8]) {
        self.text = text
    }

    private mutating func value(depth: Int) -> CBOR? {
        guard depth <= Self.maximumDepth else { return nil }
        skipSpace()
        guard position < text.count else { return nil }
        switch text[position] {
        case UInt8(ascii: "{"): return map(depth: depth)
        case UInt8(ascii: "["): return array(depth: depth)
        case UInt8(ascii: "\""): return string().map { .text($0) }
        case UInt8(ascii: "t"): return take("true") ? .bool(true) : nil
        case UInt8(ascii: "f"): return take("false") ? .bool(false) : nil
        case UInt8(ascii: "n"): return take("null") ? .null : nil
        default: return number()
        }
    }

    private mutating func array(depth: Int) -> CBOR? {
        position += 1
        var items: [CBOR] = []
        if takeAfterSpace("]") { return .array(items) }
        repeat {
            guard let item = value(depth: depth + 1) else { return nil }
            items.append(item)
        } while takeAfterSpace(",")
        return takeAfterSpace("]") ? .array(items) : nil
    }

    private mutating func map(depth: Int) -> CBOR? {
        position += 1
        var entries: [CBOR.Entry] = []
        if takeAfterSpace("}") { return .map(entries) }
        repeat {
            skipSpace()
            guard let key = string(), takeAfterSpace(":"), let value = value(depth: depth + 1),
                !entries.contains(where: { $0.key == key })
            else { return nil }
            entries.append(CBOR.Entry(key, value))
        } while takeAfterSpace(",")
        guard takeAfterSpace("}") else { return nil }
        return entries.count == 1 && entries[0].key == [UInt8(ascii: "/")]
            ? special(entries[0].value) : .map(entries)
    }

    /// A link or bytes, from what stands behind the key "/".
    private func special(_ value: CBOR) -> CBOR? {
        if let text = value.stringValue { return (try? CID(text)).map { .cid($0) } }
        guard value.mapValue?.count == 1, let base64 = value["bytes"]?.textValue else { return nil }
        return Base64.decode(base64).map { .bytes($0) }
    }

    private mutating func number() -> CBOR? {
        let start = position
        while position < text.count,
            text[position] == UInt8(ascii: "-") || (48...57).contains(text[position])
        {
            position += 1
        }
        let digits = String(decoding: text[start..<position], as: UTF8.self)
        if let number = UInt64(digits) { return .unsigned(number) }
        return Int64(digits).map { .integer($0) }
    }

    private mutating func string() -> [UInt8]? {
        guard position < text.count, text[position] == UInt8(ascii: "\"") else { return nil }
        position += 1
        var utf8: [UInt8] = []
        while position < text.count {
            let byte = text[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                return String(validating: utf8, as: UTF8.self).map { Array($0.utf8) }
            case UInt8(ascii: "\\"):
                guard let scalar = escape() else { return nil }
                utf8.append(contentsOf: String(scalar).utf8)
            case 0..<0x20: return nil
            default: utf8.append(byte)
            }
        }
        return nil
    }

    /// What stands behind a backslash.
    private mutating func escape() -> Unicode.Scalar? {
        guard position < text.count else { return nil }
        let byte = text[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return unicodeEscape()
        default: return nil
        }
    }

    private mutating func unicodeEscape() -> Unicode.Scalar? {
        guard let first = codeUnit() else { return nil }
        guard UTF16.isLeadSurrogate(first) else { return Unicode.Scalar(first) }
        guard take("\\u"), let second = codeUnit(), UTF16.isTrailSurrogate(second) else {
            return nil
        }
        let offset = (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
        return Unicode.Scalar(0x10000 + offset)
    }

    private mutating func codeUnit() -> UInt16? {
        guard text.count - position >= 4 else { return nil }
        let digits = String(decoding: text[position..<(position + 4)], as: UTF8.self)
        position += 4
        return UInt16(digits, radix: 16)
    }

    private mutating func take(_ expected: String) -> Bool {
        guard text[position...].starts(with: expected.utf8) else { return false }
        position += expected.utf8.count
        return true
    }

    private mutating func takeAfterSpace(_ expected: String) -> Bool {
        skipSpace()
        return take(expected)
    }

    private mutating func skipSpace() {
        while position < text.count, [0x20, 0x09, 0x0a, 0x0d].contains(text[position]) {
            position += 1
        }
    }
}
