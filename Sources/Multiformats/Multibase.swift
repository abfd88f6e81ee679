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
        case .base16, .base16Upper: appendBits(bytes, bitsPerCharacter: 4, to: &text)
        case .base32, .base32Upper: appendBits(bytes, bitsPerCharacter: 5, to: &text)
        case .base36, .base36Upper, .base58btc: appendWhole(bytes, to: &text)
        }
    }

    /// The bytes of `text[start...]`, which has no character naming the base.
    func decodeBody(_ text: [UInt8], from start: Int) throws(MultibaseError) -> [UInt8] {
        switch self {
        case .base16, .base16Upper: try decodeBits(text, from: start, bitsPerCharacter: 4)
        case .base32, .base32Upper: try decodeBits(text, from: start, bitsPerCharacter: 5)
        case .base36, .base36Upper, .base58btc: try decodeWhole(text, from: start)
        }
    }

    // MARK: Alphabets

    private var alphabet: StaticString {
        switch self {
        case .base16: "0123456789abcdef"
        case .base16Upper: "0123456789ABCDEF"
        case .base32: "abcdefghijklmnopqrstuvwxyz234567"
        case .base32Upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        case .base36: "0123456789abcdefghijklmnopqrstuvwxyz"
        case .base36Upper: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        case .base58btc: "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
        }
    }

    /// The digit a character stands for. Base 58 alone tells upper and lower case apart, as in
    /// go-multibase.
    private func digit(_ character: UInt8) -> UInt32? {
        let lower = character | 0x20
        let isDecimal = character >= 0x30 && character <= 0x39
        let isLetter = lower >= 0x61 && lower <= 0x7a
        switch self {
        case .base16, .base16Upper:
            if isDecimal { return UInt32(character - 0x30) }
            return lower >= 0x61 && lower <= 0x66 ? UInt32(lower - 0x61) + 10 : nil
        case .base32, .base32Upper:
            if isLetter { return UInt32(lower - 0x61) }
            return character >= 0x32 && character <= 0x37 ? UInt32(character - 0x32) + 26 : nil
        case .base36, .base36Upper:
            if isDecimal { return UInt32(character - 0x30) }
            return isLetter ? UInt32(lower - 0x61) + 10 : nil
        case .base58btc:
            let digit = character < 128 ? Self.base58Digits[Int(character)] : 255
            return digit == 255 ? nil : UInt32(digit)
        }
    }

    /// The digit of each ASCII character in base 58, 255 for those that are none.
    private static let base58Digits: [UInt8] = {
        var digits = [UInt8](repeating: 255, count: 128)
        Multibase.base58btc.alphabet.withUTF8Buffer {
            for (digit, character) in $0.enumerated() { digits[Int(character)] = UInt8(digit) }
        }
        return digits
    }()

    // MARK: Bases of 16 and 32: bit by bit

    private func appendBits(
        _ bytes: UnsafeRawBufferPointer, bitsPerCharacter: Int, to text: inout [UInt8]
    ) {
        let width = UInt32(bitsPerCharacter)
        let count = (bytes.count * 8 + bitsPerCharacter - 1) / bitsPerCharacter
        let alphabet = alphabet.utf8Start
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) { characters in
            var buffer: UInt32 = 0
            var bitCount: UInt32 = 0
            var position = 0
            for byte in bytes {
                buffer = buffer << 8 | UInt32(byte)
                bitCount += 8
                while bitCount >= width {
                    bitCount -= width
                    characters[position] = alphabet[Int(buffer &>> bitCount & (1 &<< width - 1))]
                    position += 1
                }
            }
            if bitCount > 0 {
                let last = buffer &<< (width - bitCount)
                characters[position] = alphabet[Int(last & (1 &<< width - 1))]
            }
            text.append(contentsOf: characters)
        }
    }

    private func decodeBits(
        _ text: [UInt8], from start: Int, bitsPerCharacter: Int
    ) throws(MultibaseError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity((text.count - start) * bitsPerCharacter / 8)
        var buffer: UInt32 = 0
        var bitCount = 0
        for offset in start..<text.count {
            guard let digit = digit(text[offset]) else {
                throw .invalidCharacter(self, offset: offset)
            }
            buffer = buffer << UInt32(bitsPerCharacter) | digit
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

    // MARK: Bases of 36 and 58: one whole number

    /// The number of digits that fit a 32-bit limb, and the base to that power.
    private var limb: (digitCount: Int, base: UInt64) {
        self == .base58btc ? (5, 656_356_768) : (6, 2_176_782_336)
    }

    private func appendWhole(_ bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        let (digitCount, limbBase) = limb
        let alphabet = alphabet
        let base = UInt32(alphabet.utf8CodeUnitCount)
        let zeroCount = bytes.prefix { $0 == 0 }.count
        text.append(contentsOf: repeatElement(alphabet.utf8Start[0], count: zeroCount))

        // Little-endian limbs of the number so far; each 32 bits multiply it by 2^32 and add.
        var limbs: [UInt32] = []
        limbs.reserveCapacity(bytes.count / 3 + 1)
        var position = zeroCount
        while position < bytes.count {
            let wordByteCount = (bytes.count - position - 1) % 4 + 1
            var carry: UInt64 = 0
            for byte in bytes[position..<position + wordByteCount] {
                carry = carry << 8 | UInt64(byte)
            }
            for index in limbs.indices {
                let value = UInt64(limbs[index]) << (8 * UInt64(wordByteCount)) | carry
                limbs[index] = UInt32(truncatingIfNeeded: value % limbBase)
                carry = value / limbBase
            }
            while carry > 0 {
                limbs.append(UInt32(truncatingIfNeeded: carry % limbBase))
                carry /= limbBase
            }
            position += wordByteCount
        }

        let isBase58 = self == .base58btc
        withUnsafeTemporaryAllocation(
            of: UInt8.self, capacity: limbs.count * digitCount
        ) { characters in
            var position = characters.count
            for limb in limbs {
                var rest = limb
                for _ in 0..<digitCount {
                    // Division by a constant is several times as fast.
                    let quotient = isBase58 ? rest / 58 : rest / 36
                    position -= 1
                    characters[position] = alphabet.utf8Start[Int(rest - quotient * base)]
                    rest = quotient
                }
            }
            // Limbs have a fixed number of digits, so the number may start with zeros.
            let zeroDigit = alphabet.utf8Start[0]
            text.append(contentsOf: characters.drop { $0 == zeroDigit })
        }
    }

    private func decodeWhole(
        _ text: [UInt8], from start: Int
    ) throws(MultibaseError) -> [UInt8] {
        let digitsPerLimb = limb.digitCount
        let base: UInt32 = self == .base58btc ? 58 : 36
        var zeroCount = 0
        while start + zeroCount < text.count, digit(text[start + zeroCount]) == 0 { zeroCount += 1 }

        // Little-endian words of the number so far; each group of digits multiplies and adds.
        var words: [UInt32] = []
        words.reserveCapacity((text.count - start) / 5 + 1)
        var position = start + zeroCount
        while position < text.count {
            let end = min(position + digitsPerLimb, text.count)
            var factor: UInt64 = 1
            var carry: UInt64 = 0
            for offset in position..<end {
                guard let digit = digit(text[offset]) else {
                    throw .invalidCharacter(self, offset: offset)
                }
                factor *= UInt64(base)
                carry = carry * UInt64(base) + UInt64(digit)
            }
            for index in words.indices {
                let value = UInt64(words[index]) * factor + carry
                words[index] = UInt32(truncatingIfNeeded: value)
                carry = value >> 32
            }
            if carry > 0 { words.append(UInt32(truncatingIfNeeded: carry)) }
            position = end
        }

        var bytes = [UInt8](repeating: 0, count: zeroCount)
        for word in words.reversed() {
            withUnsafeBytes(of: word.bigEndian) { bytes.append(contentsOf: $0) }
        }
        // The first word may have leading zeros that are none of the number's.
        let padding = bytes[zeroCount...].prefix { $0 == 0 }.count
        bytes.removeSubrange(zeroCount..<zeroCount + padding)
        return bytes
    }
}
