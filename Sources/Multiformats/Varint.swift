/// Why bytes are not an unsigned varint.
package enum VarintError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes ended inside the number.
    case truncated
    /// The number needs more than 64 bits.
    case overflow
    /// The number is written with more bytes than it needs.
    case notMinimal

    package var description: String {
        switch self {
        case .truncated: "the bytes end inside a varint"
        case .overflow: "a varint is longer than 64 bits"
        case .notMinimal: "a varint is padded with needless zero bytes"
        }
    }
}

/// Unsigned LEB128: seven bits a byte, lowest group first (multiformats/unsigned-varint).
package enum Varint {
    /// The most bytes a 64-bit number can take.
    package static let maximumByteCount = 10

    /// How many bytes the minimal form of `value` takes, 1 to 10.
    package static func byteCount(_ value: UInt64) -> Int {
        value < 0x80 ? 1 : (64 - value.leadingZeroBitCount + 6) / 7
    }

    /// Appends the minimal form of `value`.
    package static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// Writes the minimal form of `value` at the start of `bytes`, which must have room for it.
    ///
    /// - Returns: The number of bytes written.
    package static func write(_ value: UInt64, to bytes: UnsafeMutableRawBufferPointer) -> Int {
        var rest = value
        var count = 0
        while rest >= 0x80 {
            bytes[count] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
            count += 1
        }
        bytes[count] = UInt8(truncatingIfNeeded: rest)
        return count + 1
    }

    /// Reads a number at `offset` and moves `offset` behind it; padded forms are accepted, as in
    /// Protocol Buffers. `offset` stays where it is when this throws.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, at offset: inout Int
    ) throws(VarintError) -> UInt64 {
        var value: UInt64 = 0
        var position = offset
        var shift: UInt64 = 0
        while true {
            guard position < bytes.count else { throw .truncated }
            let byte = bytes[position]
            position += 1
            if shift == 63, byte > 1 { throw .overflow }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { break }
            shift += 7
        }
        offset = position
        return value
    }

    /// Reads a number that must be in its minimal form, as CIDs, multihashes and CARs ask for.
    /// `offset` stays where it is when this throws.
    package static func decodeMinimal(
        _ bytes: UnsafeRawBufferPointer, at offset: inout Int
    ) throws(VarintError) -> UInt64 {
        var position = offset
        let value = try decode(bytes, at: &position)
        if position - offset > 1, bytes[position - 1] == 0 { throw .notMinimal }
        offset = position
        return value
    }
}
