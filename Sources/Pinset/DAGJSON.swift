import Multiformats

/// CBOR values as text for people and tools (IPLD DAG-JSON specification): links are
/// `{"/": "b…"}`, bytes are `{"/": {"bytes": "…"}}` in base64 without padding.
///
/// Only what rows are made of: no floats, numbers of 64 bits.
enum DAGJSON {
    static func append(_ value: CBOR, to text: inout [UInt8]) {
        switch value {
        case .unsigned(let number): text.append(contentsOf: String(number).utf8)
        case .negative: text.append(contentsOf: String(value.integerValue ?? .min).utf8)
        case .bytes(let bytes):
            text.append(contentsOf: #"{"/":{"bytes":""#.utf8)
            Base64.append(bytes, to: &text)
            text.append(contentsOf: #""}}"#.utf8)
        case .text(let utf8): append(string: utf8, to: &text)
        case .array(let items):
            text.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                append(item, to: &text)
            }
            text.append(UInt8(ascii: "]"))
        case .map(let entries):
            text.append(UInt8(ascii: "{"))
            for (index, entry) in entries.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                append(string: entry.key, to: &text)
                text.append(UInt8(ascii: ":"))
                append(entry.value, to: &text)
            }
            text.append(UInt8(ascii: "}"))
        case .cid(let cid): text.append(contentsOf: #"{"/":"\#(cid)"}"#.utf8)
        case .bool(let value): text.append(contentsOf: (value ? "true" : "false").utf8)
        case .null: text.append(contentsOf: "null".utf8)
        case .float: preconditionFailure("rows have no floats")
        }
    }

    private static func append(string utf8: [UInt8], to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                text.append(UInt8(ascii: "\\"))
                text.append(byte)
            case 0..<0x20:
                text.append(contentsOf: #"\u00"#.utf8)
                text.append(contentsOf: Hexadecimal.text([byte]).utf8)
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}

/// Base64 without padding (RFC 4648, section 4), as DAG-JSON writes bytes.
enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func append(_ bytes: [UInt8], to text: inout [UInt8]) {
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let word = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for index in 0...group.count { text.append(alphabet[word >> (18 - 6 * index) & 63]) }
        }
    }

    /// `nil` for anything that `append` does not write.
    static func decode(_ text: [UInt8]) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits = 0
        var bitCount = 0
        for character in text {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            bits = bits << 6 | value
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(bits >> bitCount & 255))
            }
            bits &= (1 << bitCount) - 1
        }
        return bitCount < 6 && bits == 0 ? bytes : nil
    }
}
