/// Why a text is not the bytes it should be.
package enum MultibaseError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no text at all.
    case empty
    /// The first character names no base we read.
    case unknownBase(Character)
    /// A byte that is not in the base's alphabet, counted from the start of the text.
    case invalidCharacter(Multibase, offset: Int)
    /// The text has a length, or leftover bits, that no bytes encode to.
    case incomplete(Multibase)

    package var description: String {
        switch self {
        case .empty: "the text is empty"
        case .unknownBase(let character):
            "the text starts with “\(character)”, which names no known base; "
                + "expected one of b B z k K f F"
        case .invalidCharacter(let base, let offset):
            "character \(offset + 1) of the text does not belong to \(base.name)"
        case .incomplete(let base):
            "the text is cut or damaged: it is not whole bytes in \(base.name)"
        }
    }
}

/// A way to write bytes as text, named by the text's first character (multiformats/multibase).
package enum Multibase: UInt8, CaseIterable, Sendable {
    case base16 = 0x66  // f
    case base16Upper = 0x46  // F
    case base32 = 0x62  // b
    case base32Upper = 0x42  // B
    case base36 = 0x6b  // k
    case base36Upper = 0x4b  // K
    case base58btc = 0x7a  // z

    /// The name in the multibase table, as in Kubo's `--cid-base`.
    package var name: String {
        switch self {
        case .base16: "base16"
        case .base16Upper: "base16upper"
        case .base32: "base32"
        case .base32Upper: "base32upper"
        case .base36: "base36"
        case .base36Upper: "base36upper"
        case .base58btc: "base58btc"
        }
    }

    /// `bytes` as text, with the character that names the base in front.
    package func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        var text = [rawValue]
        append(bytes, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of a text whose first character names its base.
    package static func decode(_ text: String) throws(MultibaseError) -> [UInt8] {
        let characters = Array(text.utf8)
        guard let first = characters.first else { throw .empty }
        guard let base = Multibase(rawValue: first) else { throw .unknownBase(text.first ?? " ") }
        return try base.decodeBody(characters, from: 1)
    }

    /// Appends `bytes` as text without the character that names the base.
    func append(_ bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        switch self {
        case .base16: Self.appendBase16(bytes, Self.hexDigits, to: &text)
        case .base16Upper: Self.appendBase16(bytes, Self.upperHexDigits, to: &text)
        case .base32: Self.appendBase32(bytes, Self.base32Alphabet, to: &text)
        case .base32Upper: Self.appendBase32(bytes, Self.upperBase32Alphabet, to: &text)
        case .base36: Self.appendWhole(bytes, Self.base36Alphabet, to: &text)
        case .base36Upper: Self.appendWhole(bytes, Self.upperBase36Alphabet, to: &text)
        case .base58btc: Self.appendWhole(bytes, Self.base58Alphabet, to: &text)
        }
    }

    /// The bytes of `text[start...]`, which has no character naming the base.
    func decodeBody(_ text: [UInt8], from start: Int) throws(MultibaseError) -> [UInt8] {
        switch self {
        case .base16, .base16Upper: try decodeBits(text, from: start, bitsPerCharacter: 4)
        case .base32, .base32Upper: try decodeBits(text, from: start, bitsPerCharacter: 5)
        case .base36, .base36Upper: try decodeWhole(text, from: start, Self.base36Alphabet)
        case .base58btc: try decodeWhole(text, from: start, Self.base58Alphabet)
        }
    }

    // MARK: Bases of 16 and 32: bit by bit

    private static func appendBase16(
        _ bytes: UnsafeRawBufferPointer, _ alphabet: [UInt8], to text: inout [UInt8]
    ) {
        for byte in bytes {
            text.append(alphabet[Int(byte >> 4)])
            text.append(alphabet[Int(byte & 15)])
        }
    }

    private static func appendBase32(
        _ bytes: UnsafeRawBufferPointer, _ alphabet: [UInt8], to text: inout [UInt8]
    ) {
        text.reserveCapacity(text.count + (bytes.count * 8 + 4) / 5)
        var buffer: UInt64 = 0
        var bitCount = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt64(byte)
            bitCount += 8
            while bitCount >= 5 {
                bitCount -= 5
                text.append(alphabet[Int(buffer >> UInt64(bitCount) & 31)])
            }
        }
        if bitCount > 0 { text.append(alphabet[Int(buffer << UInt64(5 - bitCount) & 31)]) }
    }

    private func decodeBits(
        _ text: [UInt8], from start: Int, bitsPerCharacter: Int
    ) throws(MultibaseError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity((text.count - start) * bitsPerCharacter / 8)
        var buffer: UInt32 = 0
        var bitCount = 0
        for offset in start..<text.count {
            guard let digit = digitValue(text[offset]) else {
                throw .invalidCharacter(self, offset: offset)
            }
            buffer = buffer << UInt32(bitsPerCharacter) | UInt32(digit)
            bitCount += bitsPerCharacter
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bitCount)))
            }
        }
        // Leftover bits are padding: fewer than one character's worth, and all zero.
        guard bitCount < bitsPerCharacter, buffer & ((1 << UInt32(bitCount)) - 1) == 0 else {
            throw .incomplete(self)
        }
        return bytes
    }

    /// Value of a base 16 or base 32 character of either case, as go-multibase reads them.
    private func digitValue(_ character: UInt8) -> UInt8? {
        let lower = character | 0x20
        switch self {
        case .base16, .base16Upper:
            if character >= 0x30, character <= 0x39 { return character - 0x30 }
            return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : nil
        default:
            if character >= 0x32, character <= 0x37 { return character - 0x32 + 26 }
            return lower >= 0x61 && lower <= 0x7a ? lower - 0x61 : nil
        }
    }

    // MARK: Bases of 36 and 58: one whole number

    private static func appendWhole(
        _ bytes: UnsafeRawBufferPointer, _ alphabet: [UInt8], to text: inout [UInt8]
    ) {
        let base = UInt32(alphabet.count)
        let zeroCount = bytes.prefix { $0 == 0 }.count
        // Little-endian digits of the number so far; each byte multiplies it by 256 and adds.
        var digits: [UInt8] = []
        digits.reserveCapacity(bytes.count * 14 / 9 + 2)
        for byte in bytes[zeroCount...] {
            var carry = UInt32(byte)
            for index in digits.indices {
                carry += UInt32(digits[index]) << 8
                digits[index] = UInt8(truncatingIfNeeded: carry % base)
                carry /= base
            }
            while carry > 0 {
                digits.append(UInt8(truncatingIfNeeded: carry % base))
                carry /= base
            }
        }
        text.append(contentsOf: repeatElement(alphabet[0], count: zeroCount))
        for digit in digits.reversed() { text.append(alphabet[Int(digit)]) }
    }

    private func decodeWhole(
        _ text: [UInt8], from start: Int, _ alphabet: [UInt8]
    ) throws(MultibaseError) -> [UInt8] {
        let base = UInt32(alphabet.count)
        var zeroCount = 0
        while start + zeroCount < text.count, text[start + zeroCount] == alphabet[0] {
            zeroCount += 1
        }
        var digits: [UInt8] = []  // base 256, little-endian
        for offset in (start + zeroCount)..<text.count {
            // Base 36 is read in either case; base 58 tells them apart.
            let isUpper = text[offset] >= 0x41 && text[offset] <= 0x5a
            let character = base == 36 && isUpper ? text[offset] | 0x20 : text[offset]
            guard let digit = alphabet.firstIndex(of: character) else {
                throw .invalidCharacter(self, offset: offset)
            }
            var carry = UInt32(digit)
            for index in digits.indices {
                carry += UInt32(digits[index]) * base
                digits[index] = UInt8(truncatingIfNeeded: carry)
                carry >>= 8
            }
            if carry > 0 { digits.append(UInt8(truncatingIfNeeded: carry)) }
        }
        return Array(repeating: 0, count: zeroCount) + digits.reversed()
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)
    private static let upperHexDigits = Array("0123456789ABCDEF".utf8)
    static let base32Alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
    private static let upperBase32Alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
    private static let base36Alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)
    private static let upperBase36Alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
    private static let base58Alphabet = Array(
        "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8)
}
