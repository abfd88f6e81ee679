/// A JSON document as a tree whose strings and keys are bytes, in file order.
///
/// Foundation's decoders key objects by `String`, which holds canonically equivalent names for
/// equal: of two entries `é` (one or two scalars) one would vanish. Reading a document that does not
/// have the expected shape stops the test process, naming the member.
package enum JSONTree: Sendable {
    case object([(key: [UInt8], value: JSONTree)])
    case array([JSONTree])
    case string([UInt8])
    case integer(Int)
    case boolean(Bool)
    case null

    package init(parsing document: [UInt8]) {
        var parser = JSONParser(document: document)
        self = parser.parseDocument()
    }

    /// The member of an object; absent and `null` are both `nil`.
    package subscript(key: String) -> JSONTree? {
        guard case .object(let members) = self else { preconditionFailure("no object at \(key)") }
        let keyBytes = Array(key.utf8)
        guard let value = members.first(where: { $0.key == keyBytes })?.value else { return nil }
        if case .null = value { return nil }
        return value
    }

    /// A member that has to be there.
    package func member(_ key: String) -> JSONTree {
        guard let value = self[key] else { preconditionFailure("no member \(key)") }
        return value
    }

    package var members: [(key: [UInt8], value: JSONTree)] {
        guard case .object(let members) = self else { preconditionFailure("\(self): no object") }
        return members
    }

    package var elements: [JSONTree] {
        guard case .array(let elements) = self else { preconditionFailure("\(self): no array") }
        return elements
    }

    package var bytes: [UInt8] {
        guard case .string(let bytes) = self else { preconditionFailure("\(self): no string") }
        return bytes
    }

    package var text: String { String(decoding: bytes, as: UTF8.self) }

    package var texts: [String] { elements.map(\.text) }

    package var integer: Int {
        guard case .integer(let value) = self else { preconditionFailure("\(self): no integer") }
        return value
    }

    package var integers: [Int] { elements.map(\.integer) }

    package var boolean: Bool {
        guard case .boolean(let value) = self else { preconditionFailure("\(self): no boolean") }
        return value
    }

    package var bytesFromHex: [UInt8] {
        let digits = bytes.map { digit in
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else {
                preconditionFailure("\(self): not hex")
            }
            return UInt8(value)
        }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    package var bytesFromBase64: [UInt8] {
        var result: [UInt8] = []
        var buffer: UInt32 = 0
        var bitCount = 0
        for character in bytes where character != UInt8(ascii: "=") {
            buffer = buffer << 6 | UInt32(Self.base64Value(character))
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                result.append(UInt8(truncatingIfNeeded: buffer >> bitCount))
            }
        }
        return result
    }

    private static func base64Value(_ character: UInt8) -> UInt8 {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: preconditionFailure("byte \(character) is not base64")
        }
    }
}

/// Integers only, which is all the vectors hold.
private struct JSONParser {
    let document: [UInt8]
    private var position = 0

    init(document: [UInt8]) {
        self.document = document
    }

    mutating func parseDocument() -> JSONTree {
        let tree = parseValue()
        skipSpace()
        precondition(position == document.count, "bytes after the document, at \(position)")
        return tree
    }

    private mutating func parseValue() -> JSONTree {
        skipSpace()
        switch document[position] {
        case UInt8(ascii: "{"): return parseObject()
        case UInt8(ascii: "["): return parseArray()
        case UInt8(ascii: "\""): return .string(parseString())
        case UInt8(ascii: "t"): return parseWord("true", .boolean(true))
        case UInt8(ascii: "f"): return parseWord("false", .boolean(false))
        case UInt8(ascii: "n"): return parseWord("null", .null)
        default: return parseInteger()
        }
    }

    private mutating func parseObject() -> JSONTree {
        var members: [(key: [UInt8], value: JSONTree)] = []
        position += 1
        while !skip("}") {
            if !members.isEmpty { expect(",") }
            skipSpace()
            let key = parseString()
            expect(":")
            members.append((key, parseValue()))
        }
        return .object(members)
    }

    private mutating func parseArray() -> JSONTree {
        var elements: [JSONTree] = []
        position += 1
        while !skip("]") {
            if !elements.isEmpty { expect(",") }
            elements.append(parseValue())
        }
        return .array(elements)
    }

    private mutating func parseString() -> [UInt8] {
        precondition(document[position] == UInt8(ascii: "\""), "no string at \(position)")
        position += 1
        var bytes: [UInt8] = []
        while document[position] != UInt8(ascii: "\"") {
            if document[position] == UInt8(ascii: "\\") {
                position += 1
                appendEscape(to: &bytes)
            } else {
                bytes.append(document[position])
                position += 1
            }
        }
        position += 1
        return bytes
    }

    /// Reads what follows a backslash.
    private mutating func appendEscape(to bytes: inout [UInt8]) {
        let escape = document[position]
        position += 1
        switch escape {
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0c)
        case UInt8(ascii: "n"): bytes.append(0x0a)
        case UInt8(ascii: "r"): bytes.append(0x0d)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"):
            var code = parseHexQuad()
            if (0xd800..<0xdc00).contains(code) {
                precondition(skip("\\") && skip("u"), "half a surrogate pair at \(position)")
                code = 0x10000 + (code - 0xd800) << 10 + (parseHexQuad() - 0xdc00)
            }
            bytes += Array(String(UnicodeScalar(code)!).utf8)
        default: bytes.append(escape)
        }
    }

    private mutating func parseHexQuad() -> UInt32 {
        let digits = String(decoding: document[position..<position + 4], as: UTF8.self)
        position += 4
        return UInt32(digits, radix: 16)!
    }

    private mutating func parseInteger() -> JSONTree {
        let start = position
        while position < document.count,
            document[position] == UInt8(ascii: "-") || (0x30...0x39).contains(document[position])
        {
            position += 1
        }
        guard let value = Int(String(decoding: document[start..<position], as: UTF8.self)) else {
            preconditionFailure("no integer at \(start)")
        }
        return .integer(value)
    }

    private mutating func parseWord(_ word: String, _ value: JSONTree) -> JSONTree {
        precondition(document[position...].starts(with: word.utf8), "no \(word) at \(position)")
        position += word.utf8.count
        return value
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard document[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) {
        precondition(skip(character), "no \(character) at \(position)")
    }

    private mutating func skipSpace() {
        while position < document.count,
            [0x20, 0x0a, 0x0d, 0x09].contains(document[position])
        {
            position += 1
        }
    }
}
