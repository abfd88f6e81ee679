/// Writes JSON by hand where a million lines are written and an encoder would cost more than the
/// work they report.
package enum JSONText {
    /// Appends a string in quotes. Bytes that are not UTF-8 become U+FFFD, one for each ill-formed
    /// part, as Go's and Swift's decoders count them; `"`, `\` and control characters are escaped.
    package static func appendString(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        let isPlain: Void? = bytes.withContiguousStorageIfAvailable { bytes in
            appendContents(UnsafeRawBufferPointer(bytes), to: &output)
        }
        if isPlain == nil {
            Array(bytes).withUnsafeBytes { appendContents($0, to: &output) }
        }
        output.append(UInt8(ascii: "\""))
    }

    /// Appends decimal digits.
    package static func appendNumber(_ number: UInt64, to output: inout [UInt8]) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)  // room for 20 digits
        var rest = number
        withUnsafeMutableBytes(of: &digits) { digits in
            var start = digits.count
            repeat {
                start -= 1
                digits[start] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            output.append(contentsOf: digits[start...])
        }
    }

    /// Appends text that needs no escaping.
    static func appendRaw(_ text: StaticString, to output: inout [UInt8]) {
        output.append(
            contentsOf: UnsafeBufferPointer(
                start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private static func appendContents(
        _ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]
    ) {
        var plainStart = 0
        for (index, byte) in bytes.enumerated() {
            if byte >= 0x80 {
                output.append(contentsOf: bytes[plainStart..<index])
                return appendUnicode(
                    UnsafeRawBufferPointer(rebasing: bytes[index...]), to: &output)
            }
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else {
                continue
            }
            output.append(contentsOf: bytes[plainStart..<index])
            appendEscape(byte, to: &output)
            plainStart = index + 1
        }
        output.append(contentsOf: bytes[plainStart...])
    }

    private static func appendUnicode(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        // Decoding repairs what is ill-formed.
        for byte in String(decoding: bytes, as: UTF8.self).utf8 {
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                appendEscape(byte, to: &output)
            } else {
                output.append(byte)
            }
        }
    }

    private static func appendEscape(_ byte: UInt8, to output: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""): appendRaw("\\\"", to: &output)
        case UInt8(ascii: "\\"): appendRaw("\\\\", to: &output)
        case UInt8(ascii: "\n"): appendRaw("\\n", to: &output)
        case UInt8(ascii: "\r"): appendRaw("\\r", to: &output)
        case UInt8(ascii: "\t"): appendRaw("\\t", to: &output)
        default:
            appendRaw("\\u00", to: &output)
            for nibble in [byte >> 4, byte & 15] {
                output.append(
                    nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10)
            }
        }
    }
}
