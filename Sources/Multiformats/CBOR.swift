/// A DAG-CBOR value (IPLD DAG-CBOR specification).
package enum CBOR: Equatable, Sendable {
    /// A number from 0 up.
    case unsigned(UInt64)
    /// The number -1 - n, for n as given here.
    case negative(UInt64)
    case bytes([UInt8])
    /// UTF-8, kept as bytes so that two texts are the same only if their bytes are.
    case text([UInt8])
    case array([CBOR])
    /// Entries with distinct keys; encoding puts them in canonical order.
    case map([Entry])
    indirect case cid(CID)
    case bool(Bool)
    case null
    /// Neither infinite nor not-a-number.
    case float(Double)

    package struct Entry: Equatable, Sendable {
        /// UTF-8.
        package var key: [UInt8]
        package var value: CBOR

        package init(_ key: [UInt8], _ value: CBOR) {
            self.key = key
            self.value = value
        }

        package init(_ key: String, _ value: CBOR) {
            self.init(Array(key.utf8), value)
        }
    }

    package static func string(_ text: String) -> CBOR {
        .text(Array(text.utf8))
    }

    package static func integer(_ value: Int64) -> CBOR {
        value >= 0 ? .unsigned(UInt64(value)) : .negative(UInt64(~value))
    }

    /// The value under `key` if this is a map that has one.
    package subscript(key: String) -> CBOR? {
        guard case .map(let entries) = self else { return nil }
        return entries.first { $0.key.elementsEqual(key.utf8) }?.value
    }

    /// A number from 0 up, else `nil`.
    package var unsignedValue: UInt64? {
        if case .unsigned(let value) = self { value } else { nil }
    }

    /// A number that fits 64 bits with its sign, else `nil`.
    package var integerValue: Int64? {
        switch self {
        case .unsigned(let value): Int64(exactly: value)
        case .negative(let value): Int64(exactly: value).map { ~$0 }
        default: nil
        }
    }

    /// The bytes of a byte string, else `nil`.
    package var bytesValue: [UInt8]? {
        if case .bytes(let value) = self { value } else { nil }
    }

    /// The UTF-8 of a text, else `nil`.
    package var textValue: [UInt8]? {
        if case .text(let value) = self { value } else { nil }
    }

    /// A text as a string, else `nil`.
    package var stringValue: String? {
        textValue.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The items of an array, else `nil`.
    package var arrayValue: [CBOR]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The entries of a map, else `nil`.
    package var mapValue: [Entry]? {
        if case .map(let value) = self { value } else { nil }
    }

    /// The CID of a link, else `nil`.
    package var cidValue: CID? {
        if case .cid(let value) = self { value } else { nil }
    }

    /// A truth value, else `nil`.
    package var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    package var isNull: Bool { self == .null }
}

// MARK: - Encoding

extension CBOR {
    /// The kinds of items, as in the top three bits of an item's first byte.
    package enum MajorType: UInt8, Sendable {
        case unsigned = 0
        case negative = 1
        case bytes = 2
        case text = 3
        case array = 4
        case map = 5
        case tag = 6
        case simple = 7
    }

    /// The one canonical encoding of this value.
    package var encoded: [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return bytes
    }

    /// Appends the canonical encoding.
    ///
    /// - Precondition: floats are finite and keys of one map distinct.
    package func append(to bytes: inout [UInt8]) {
        switch self {
        case .unsigned(let value): Self.appendHead(.unsigned, value, to: &bytes)
        case .negative(let value): Self.appendHead(.negative, value, to: &bytes)
        case .bytes(let value):
            Self.appendHead(.bytes, UInt64(value.count), to: &bytes)
            bytes.append(contentsOf: value)
        case .text(let value): Self.appendText(value, to: &bytes)
        case .array(let items):
            Self.appendHead(.array, UInt64(items.count), to: &bytes)
            for item in items { item.append(to: &bytes) }
        case .map(let entries):
            Self.appendHead(.map, UInt64(entries.count), to: &bytes)
            let sorted = entries.sorted { Self.keyPrecedes($0.key, $1.key) }
            for (index, entry) in sorted.enumerated() {
                precondition(
                    index == 0 || sorted[index - 1].key != entry.key, "a map key occurs twice")
                Self.appendText(entry.key, to: &bytes)
                entry.value.append(to: &bytes)
            }
        case .cid(let cid): Self.appendCID(cid, to: &bytes)
        case .bool(let value): bytes.append(value ? 0xf5 : 0xf4)
        case .null: bytes.append(0xf6)
        case .float(let value):
            precondition(value.isFinite, "DAG-CBOR has finite floats only")
            bytes.append(0xfb)
            withUnsafeBytes(of: value.bitPattern.bigEndian) { bytes.append(contentsOf: $0) }
        }
    }

    /// Appends the first bytes of an item in their shortest form: its kind, and its value or
    /// length. With this and `appendCID` large nodes are written without a tree of values.
    package static func appendHead(_ type: MajorType, _ value: UInt64, to bytes: inout [UInt8]) {
        let top = type.rawValue << 5
        let extraByteCount: Int
        switch value {
        case 0..<24:
            bytes.append(top | UInt8(value))
            return
        case 24..<0x100: (extraByteCount, _) = (1, bytes.append(top | 24))
        case 0x100..<0x1_0000: (extraByteCount, _) = (2, bytes.append(top | 25))
        case 0x1_0000..<0x1_0000_0000: (extraByteCount, _) = (4, bytes.append(top | 26))
        default: (extraByteCount, _) = (8, bytes.append(top | 27))
        }
        for index in (0..<extraByteCount).reversed() {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
        }
    }

    /// Appends a text.
    package static func appendText(_ text: [UInt8], to bytes: inout [UInt8]) {
        appendHead(.text, UInt64(text.count), to: &bytes)
        bytes.append(contentsOf: text)
    }

    /// Appends a link: tag 42 on a byte string of a zero and the binary CID.
    package static func appendCID(_ cid: CID, to bytes: inout [UInt8]) {
        bytes.append(0xd8)
        bytes.append(0x2a)
        appendHead(.bytes, UInt64(cid.byteCount + 1), to: &bytes)
        bytes.append(0)
        cid.append(to: &bytes)
    }

    /// Whether a key comes before another in a canonical map: shorter first, then by bytes.
    package static func keyPrecedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count
            ? left.lexicographicallyPrecedes(right) : left.count < right.count
    }
}
