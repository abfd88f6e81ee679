import Multiformats

/// Writes UnixFS messages and the dag-pb blocks that hold them (UnixFS specification, message
/// `Data`; fields in the order of their numbers, as boxo writes them).
enum UnixFSEncoding {
    enum NodeType: UInt8 {
        case raw = 0
        case directory = 1
        case file = 2
        case symlink = 4
        case hamtShard = 5
    }

    /// The multihash code of the hash that HAMTs use.
    private static let murmur3Code: UInt8 = 0x22

    /// A block: encoded links, then the message.
    static func block(links: [UInt8], message: [UInt8]) -> [UInt8] {
        var block: [UInt8] = []
        block.reserveCapacity(links.count + DagPB.dataByteCount(message.count))
        block += links
        DagPB.appendData(message, to: &block)
        return block
    }

    /// The message of a file's leaf, whole.
    static func leafMessage(
        _ type: NodeType, payload: UnsafeRawBufferPointer, metadata: EntryMetadata
    ) -> [UInt8] {
        var message: [UInt8] = [0x08, type.rawValue]
        message.reserveCapacity(payload.count + 64)
        if !payload.isEmpty { appendField(0x12, payload, to: &message) }
        appendNumber(0x18, UInt64(payload.count), to: &message)
        append(metadata, to: &message)
        return message
    }

    /// The message of a file node that has links instead of data.
    ///
    /// - Parameter blockSizes: Fields written by `appendBlockSize`, one for each link.
    static func fileMessage(
        fileByteCount: UInt64, blockSizes: [UInt8], metadata: EntryMetadata
    ) -> [UInt8] {
        var message: [UInt8] = [0x08, NodeType.file.rawValue]
        message.reserveCapacity(blockSizes.count + 64)
        appendNumber(0x18, fileByteCount, to: &message)
        message += blockSizes
        append(metadata, to: &message)
        return message
    }

    static func appendBlockSize(_ fileByteCount: UInt64, to fields: inout [UInt8]) {
        appendNumber(0x20, fileByteCount, to: &fields)
    }

    static func symlinkMessage(target: [UInt8], metadata: EntryMetadata) -> [UInt8] {
        var message: [UInt8] = [0x08, NodeType.symlink.rawValue]
        target.withUnsafeBytes { appendField(0x12, $0, to: &message) }
        append(metadata, to: &message)
        return message
    }

    static func directoryMessage(metadata: EntryMetadata) -> [UInt8] {
        var message: [UInt8] = [0x08, NodeType.directory.rawValue]
        append(metadata, to: &message)
        return message
    }

    /// - Parameter bitfield: One bit for each used slot, big-endian, with its leading zero bytes.
    static func shardMessage(bitfield: [UInt8], metadata: EntryMetadata) -> [UInt8] {
        var message: [UInt8] = [0x08, NodeType.hamtShard.rawValue]
        bitfield.drop { $0 == 0 }.withUnsafeBytes {
            if !$0.isEmpty { appendField(0x12, $0, to: &message) }
        }
        message += [0x28, murmur3Code]
        appendNumber(0x30, UInt64(bitfield.count * 8), to: &message)
        append(metadata, to: &message)
        return message
    }

    /// Length of the block of a directory that is not sharded, in bytes.
    static func directoryBlockByteCount(linkByteCount: Int, metadata: EntryMetadata) -> Int {
        linkByteCount + DagPB.dataByteCount(directoryMessage(metadata: metadata).count)
    }

    // MARK: - Fields

    private static func append(_ metadata: EntryMetadata, to message: inout [UInt8]) {
        if let mode = metadata.mode { appendNumber(0x38, UInt64(mode), to: &message) }
        guard let time = metadata.mtime else { return }
        var field: [UInt8] = []
        appendNumber(0x08, UInt64(bitPattern: time.seconds), to: &field)
        if time.nanoseconds > 0 {
            field.append(0x15)
            withUnsafeBytes(of: time.nanoseconds.littleEndian) { field.append(contentsOf: $0) }
        }
        field.withUnsafeBytes { appendField(0x42, $0, to: &message) }
    }

    private static func appendNumber(_ tag: UInt8, _ value: UInt64, to message: inout [UInt8]) {
        message.append(tag)
        Varint.append(value, to: &message)
    }

    private static func appendField(
        _ tag: UInt8, _ bytes: UnsafeRawBufferPointer, to message: inout [UInt8]
    ) {
        message.append(tag)
        Varint.append(UInt64(bytes.count), to: &message)
        message.append(contentsOf: bytes)
    }
}
