import Multiformats

/// The protobuf message in the `Data` of a UnixFS dag-pb node (UnixFS specification, message
/// `Data`), as it stands in the block: sizes are not yet compared with the links.
struct UnixFSMessage {
    var type: UnixFSNode.NodeType
    /// Position of field 2 within the message.
    var data: Range<Int>?
    var fileByteCount: UInt64?
    var blockByteCounts: [UInt64] = []
    var hashType: UInt64?
    var fanout: UInt64?
    var mode: UInt32?
    var mtime: UnixFSTime?

    /// Decodes a message. Unknown fields are skipped, as protobuf wants for later versions; a
    /// repeated single field, a wrong wire type or an impossible value is an error.
    init(decoding bytes: UnsafeRawBufferPointer) throws(UnixFSNodeError) {
        var reader = ProtobufReader(bytes)
        var type: UnixFSNode.NodeType?
        self.type = .raw
        while let (field, wireType) = try reader.nextField() {
            switch field {
            case 1:
                let code = try reader.varint(wireType, in: field)
                guard type == nil else { throw .repeatedField(field) }
                guard let known = UnixFSNode.NodeType(rawValue: code) else {
                    throw .unknownType(code)
                }
                type = known
            case 2: try Self.set(&data, field, reader.bytes(wireType, in: field))
            case 3: try Self.set(&fileByteCount, field, reader.varint(wireType, in: field))
            case 4: try appendBlockByteCounts(from: &reader, wireType)
            case 5: try Self.set(&hashType, field, reader.varint(wireType, in: field))
            case 6: try Self.set(&fanout, field, reader.varint(wireType, in: field))
            case 7:
                let value = try reader.varint(wireType, in: field)
                guard let mode = UInt32(exactly: value) else { throw .valueOutOfRange(field) }
                try Self.set(&self.mode, field, mode)
            case 8:
                let range = try reader.bytes(wireType, in: field)
                let time = try Self.time(
                    UnsafeRawBufferPointer(rebasing: bytes[range]))
                try Self.set(&mtime, field, time)
            default: try reader.skip(wireType, in: field)
            }
        }
        guard let type else { throw .missingType }
        self.type = type
    }

    private static func set<Value>(
        _ target: inout Value?, _ field: UInt64, _ value: Value
    ) throws(UnixFSNodeError) {
        guard target == nil else { throw .repeatedField(field) }
        target = value
    }

    /// Takes both forms of a repeated number: one field each, as every UnixFS writer does, and
    /// packed, as any protobuf reader must.
    private mutating func appendBlockByteCounts(
        from reader: inout ProtobufReader, _ wireType: UInt64
    ) throws(UnixFSNodeError) {
        guard wireType == ProtobufReader.lengthDelimited else {
            blockByteCounts.append(try reader.varint(wireType, in: 4))
            return
        }
        let packed = try reader.bytes(wireType, in: 4)
        var packedReader = ProtobufReader(
            UnsafeRawBufferPointer(rebasing: reader.buffer[packed]))
        while !packedReader.isAtEnd {
            blockByteCounts.append(try packedReader.varint(ProtobufReader.varint, in: 4))
        }
    }

    private static func time(
        _ bytes: UnsafeRawBufferPointer
    ) throws(UnixFSNodeError) -> UnixFSTime {
        var reader = ProtobufReader(bytes)
        var seconds: UInt64?
        var nanoseconds: UInt32?
        while let (field, wireType) = try reader.nextField() {
            switch field {
            case 1: try set(&seconds, 8, reader.varint(wireType, in: 8))
            case 2: try set(&nanoseconds, 8, reader.fixed32(wireType, in: 8))
            default: try reader.skip(wireType, in: 8)
            }
        }
        guard let seconds, nanoseconds ?? 0 < 1_000_000_000 else { throw .valueOutOfRange(8) }
        return UnixFSTime(
            seconds: Int64(bitPattern: seconds), nanoseconds: nanoseconds ?? 0)
    }
}

/// Reads protobuf fields one after the other; every length is checked against the buffer.
private struct ProtobufReader {
    static let varint: UInt64 = 0
    static let lengthDelimited: UInt64 = 2

    let buffer: UnsafeRawBufferPointer
    private var position = 0

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    var isAtEnd: Bool { position == buffer.count }

    /// Field number and wire type of the next field, `nil` at the end.
    mutating func nextField() throws(UnixFSNodeError) -> (field: UInt64, wireType: UInt64)? {
        if isAtEnd { return nil }
        let tag = try number()
        guard tag >> 3 != 0 else { throw .wrongWireType(field: 0) }
        return (tag >> 3, tag & 7)
    }

    mutating func varint(
        _ wireType: UInt64, in field: UInt64
    ) throws(UnixFSNodeError) -> UInt64 {
        guard wireType == Self.varint else { throw .wrongWireType(field: field) }
        return try number()
    }

    mutating func fixed32(
        _ wireType: UInt64, in field: UInt64
    ) throws(UnixFSNodeError) -> UInt32 {
        guard wireType == 5 else { throw .wrongWireType(field: field) }
        let range = try advance(by: 4)
        return UInt32(
            littleEndian: buffer.loadUnaligned(
                fromByteOffset: range.lowerBound, as: UInt32.self))
    }

    mutating func bytes(
        _ wireType: UInt64, in field: UInt64
    ) throws(UnixFSNodeError) -> Range<Int> {
        guard wireType == Self.lengthDelimited else { throw .wrongWireType(field: field) }
        return try advance(by: number())
    }

    mutating func skip(_ wireType: UInt64, in field: UInt64) throws(UnixFSNodeError) {
        switch wireType {
        case Self.varint: _ = try number()
        case 1: _ = try advance(by: 8)
        case Self.lengthDelimited: _ = try advance(by: number())
        case 5: _ = try advance(by: 4)
        default: throw .wrongWireType(field: field)
        }
    }

    private mutating func number() throws(UnixFSNodeError) -> UInt64 {
        do {
            return try Varint.decode(buffer, at: &position)
        } catch {
            throw .truncated
        }
    }

    private mutating func advance(by count: UInt64) throws(UnixFSNodeError) -> Range<Int> {
        guard count <= UInt64(buffer.count - position) else { throw .truncated }
        let start = position
        position += Int(count)
        return start..<position
    }
}
