/// Why bytes are not DAG-CBOR; offsets count from the start of the bytes.
package enum CBORError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes end inside the item, or its length claims more bytes than there are.
    case truncated(offset: Int)
    /// Bytes follow the end of the value.
    case trailingBytes(offset: Int)
    /// A number or length is not in its shortest form.
    case notMinimal(offset: Int)
    /// A kind of item DAG-CBOR does not have: indefinite lengths, other simple values, short
    /// floats and infinite ones.
    case unsupportedItem(byte: UInt8, offset: Int)
    /// A tag other than 42.
    case unsupportedTag(UInt64, offset: Int)
    /// A link that is not a zero byte and a CID.
    case malformedLink(CIDError?, offset: Int)
    /// Text that is not UTF-8.
    case malformedText(offset: Int)
    /// A map key that is not text.
    case keyNotText(offset: Int)
    /// A map key that repeats another, or comes after one it should precede.
    case keyOutOfOrder(offset: Int)
    /// Arrays and maps are nested deeper than the limit.
    case tooDeep(limit: Int, offset: Int)

    package var description: String {
        let reason =
            switch self {
            case .truncated(let offset): "the item at byte \(offset) is cut"
            case .trailingBytes(let offset): "more bytes follow its end at byte \(offset)"
            case .notMinimal(let offset):
                "the number at byte \(offset) is not in its shortest form"
            case .unsupportedItem(let byte, let offset):
                "byte \(offset) is 0x" + String(byte, radix: 16) + ", a kind of item it has not"
            case .unsupportedTag(let tag, let offset): "tag \(tag) at byte \(offset) is not 42"
            case .malformedLink(let error, let offset):
                "the link at byte \(offset) is "
                    + (error?.description ?? "not a byte string that starts with zero")
            case .malformedText(let offset): "the text at byte \(offset) is not UTF-8"
            case .keyNotText(let offset): "the map key at byte \(offset) is not text"
            case .keyOutOfOrder(let offset):
                "the map key at byte \(offset) is repeated or out of order"
            case .tooDeep(let limit, let offset):
                "it is nested deeper than \(limit) levels at byte \(offset)"
            }
        return "not valid DAG-CBOR: \(reason)"
    }
}

extension CBOR {
    /// How deep arrays and maps may be nested.
    package static let maximumDepth = 64

    /// Reads the one value that fills `bytes`, in its canonical form only.
    ///
    /// Memory stays within a small multiple of `bytes.count`: lengths are checked against the
    /// bytes that are there.
    ///
    /// - Parameter acceptsAnyKeyOrder: Map keys need not be sorted, as in the headers of some
    ///   CAR writers; repeated keys are refused all the same.
    package init(
        decoding bytes: UnsafeRawBufferPointer, acceptsAnyKeyOrder: Bool = false
    ) throws(CBORError) {
        var decoder = Decoder(bytes: bytes, acceptsAnyKeyOrder: acceptsAnyKeyOrder)
        self = try decoder.item(depth: 0)
        guard decoder.position == bytes.count else {
            throw .trailingBytes(offset: decoder.position)
        }
    }

    /// Reads a value as `init(decoding:acceptsAnyKeyOrder:)` with a pointer does.
    package init(
        decoding bytes: [UInt8], acceptsAnyKeyOrder: Bool = false
    ) throws(CBORError) {
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(CBORError) in
            try CBOR(
                decoding: UnsafeRawBufferPointer(buffer), acceptsAnyKeyOrder: acceptsAnyKeyOrder)
        }
    }

    private struct Decoder {
        let bytes: UnsafeRawBufferPointer
        let acceptsAnyKeyOrder: Bool
        var position = 0

        mutating func item(depth: Int) throws(CBORError) -> CBOR {
            let offset = position
            let first = try byte()
            guard let type = MajorType(rawValue: first >> 5) else {
                throw .truncated(offset: offset)
            }
            if type == .simple { return try simple(first, offset) }
            let value = try argument(first, offset)
            switch type {
            case .unsigned: return .unsigned(value)
            case .negative: return .negative(value)
            case .bytes: return .bytes(Array(try content(value, offset)))
            case .text: return .text(try text(value, offset))
            case .array, .map:
                guard depth < CBOR.maximumDepth else {
                    throw .tooDeep(limit: CBOR.maximumDepth, offset: offset)
                }
                return type == .array
                    ? try array(value, offset, depth) : try map(value, offset, depth)
            default:
                guard value == 42 else { throw .unsupportedTag(value, offset: offset) }
                return .cid(try link(offset))
            }
        }

        private mutating func array(
            _ count: UInt64, _ offset: Int, _ depth: Int
        ) throws(CBORError) -> CBOR {
            guard count <= UInt64(bytes.count - position) else { throw .truncated(offset: offset) }
            var items: [CBOR] = []
            // A claimed count is not yet worth much memory: nested arrays could all claim the rest.
            items.reserveCapacity(min(Int(count), 64))
            for _ in 0..<count { items.append(try item(depth: depth + 1)) }
            return .array(items)
        }

        private mutating func map(
            _ count: UInt64, _ offset: Int, _ depth: Int
        ) throws(CBORError) -> CBOR {
            guard count <= UInt64(bytes.count - position) / 2 else {
                throw .truncated(offset: offset)
            }
            var entries: [Entry] = []
            entries.reserveCapacity(min(Int(count), 64))
            var keys: Set<[UInt8]> = []
            for _ in 0..<count {
                let keyOffset = position
                let first = try byte()
                guard first >> 5 == MajorType.text.rawValue else {
                    throw .keyNotText(offset: keyOffset)
                }
                let key = try text(try argument(first, keyOffset), keyOffset)
                let isInOrder =
                    acceptsAnyKeyOrder
                    ? keys.insert(key).inserted
                    : entries.last.map { CBOR.keyPrecedes($0.key, key) } ?? true
                guard isInOrder else { throw .keyOutOfOrder(offset: keyOffset) }
                entries.append(Entry(key, try item(depth: depth + 1)))
            }
            return .map(entries)
        }

        private mutating func link(_ offset: Int) throws(CBORError) -> CID {
            let first = try byte()
            guard first >> 5 == MajorType.bytes.rawValue else {
                throw .malformedLink(nil, offset: offset)
            }
            let content = try content(try argument(first, offset), offset)
            guard content.first == 0 else { throw .malformedLink(nil, offset: offset) }
            do {
                return try CID(exactly: UnsafeRawBufferPointer(rebasing: content[1...]))
            } catch {
                throw .malformedLink(error, offset: offset)
            }
        }

        private mutating func simple(_ first: UInt8, _ offset: Int) throws(CBORError) -> CBOR {
            switch first {
            case 0xf4: return .bool(false)
            case 0xf5: return .bool(true)
            case 0xf6: return .null
            case 0xfb:
                let content = try content(8, offset)
                let bits = UInt64(bigEndian: content.loadUnaligned(as: UInt64.self))
                let value = Double(bitPattern: bits)
                guard value.isFinite else { throw .unsupportedItem(byte: first, offset: offset) }
                return .float(value)
            default: throw .unsupportedItem(byte: first, offset: offset)
            }
        }

        private mutating func text(
            _ count: UInt64, _ offset: Int
        ) throws(CBORError) -> [UInt8] {
            let content = try content(count, offset)
            guard isUTF8(content) else { throw .malformedText(offset: offset) }
            return Array(content)
        }

        private func isUTF8(_ content: UnsafeRawBufferPointer) -> Bool {
            if content.allSatisfy({ $0 < 0x80 }) { return true }
            return String(validating: content, as: UTF8.self) != nil
        }

        /// The number in or after an item's first byte, which must be in its shortest form.
        private mutating func argument(
            _ first: UInt8, _ offset: Int
        ) throws(CBORError) -> UInt64 {
            let low = first & 31
            guard low >= 24 else { return UInt64(low) }
            guard low <= 27 else { throw .unsupportedItem(byte: first, offset: offset) }
            let byteCount: UInt64 = 1 << UInt64(low - 24)
            var value: UInt64 = 0
            for byte in try content(byteCount, offset) { value = value << 8 | UInt64(byte) }
            let smallest: UInt64 = byteCount == 1 ? 24 : 1 << (byteCount * 4)
            guard value >= smallest else { throw .notMinimal(offset: offset) }
            return value
        }

        private mutating func byte() throws(CBORError) -> UInt8 {
            guard position < bytes.count else { throw .truncated(offset: position) }
            defer { position += 1 }
            return bytes[position]
        }

        /// The next `count` bytes.
        private mutating func content(
            _ count: UInt64, _ offset: Int
        ) throws(CBORError) -> UnsafeRawBufferPointer {
            guard count <= UInt64(bytes.count - position) else { throw .truncated(offset: offset) }
            defer { position += Int(count) }
            return UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(count)])
        }
    }
}
