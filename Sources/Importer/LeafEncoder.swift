import Multiformats

/// Frames the chunks of files as leaf blocks: prefix, chunk, suffix.
///
/// The chunk is never copied; raw leaves have neither prefix nor suffix.
package struct LeafEncoder: Sendable {
    /// Version of leaf CIDs; raw leaves are version 1 even in a tree of version 0.
    package let version: CID.Version
    package let codec: Codec
    /// Leaves up to this many bytes are put into their CID; `nil` never does that.
    package let inlineLimit: Int?
    private let type: UnixFSEncoding.NodeType

    /// No frame is longer, prefix and suffix together, in bytes.
    package static let maximumFrameByteCount = 64

    package init(_ options: ImportOptions) {
        // A trickle file's root always has links, so raw leaves never change an empty one.
        version = options.rawLeaves ? .v1 : options.cidVersion
        codec = options.rawLeaves ? .raw : .dagPB
        inlineLimit = options.inlineLimit
        // Balanced leaves claim to be whole files: an old mistake that every CID depends on.
        type = options.layout == .balanced ? .file : .raw
    }

    /// Writes the prefix and right behind it the suffix that make a block of a chunk.
    ///
    /// - Parameter frame: Room for `maximumFrameByteCount` bytes.
    package func frame(
        chunkByteCount: Int, into frame: UnsafeMutableRawBufferPointer
    ) -> (prefixByteCount: Int, suffixByteCount: Int) {
        guard codec == .dagPB else { return (0, 0) }
        let count = UInt64(chunkByteCount)
        let sizeByteCount = 1 + Varint.byteCount(count)
        let dataByteCount = count == 0 ? 0 : 1 + Varint.byteCount(count) + chunkByteCount
        var position = 0
        func put(_ tag: UInt8, _ value: UInt64) {
            frame[position] = tag
            position += 1
            position += Varint.write(
                value, to: UnsafeMutableRawBufferPointer(rebasing: frame[position...]))
        }
        put(0x0a, UInt64(2 + dataByteCount + sizeByteCount))
        put(0x08, UInt64(type.rawValue))
        if count > 0 { put(0x12, count) }
        let prefixByteCount = position
        put(0x18, count)
        return (prefixByteCount, position - prefixByteCount)
    }

    /// The CID of a leaf block given in three parts; an identity CID when the block is within the
    /// inline limit.
    package func cid(
        _ prefix: UnsafeRawBufferPointer, _ chunk: UnsafeRawBufferPointer,
        _ suffix: UnsafeRawBufferPointer, hasher: BlockHasher
    ) throws(HashError) -> CID {
        if let inlineLimit, prefix.count + chunk.count + suffix.count <= inlineLimit {
            let block = Array(prefix) + Array(chunk) + Array(suffix)
            return block.withUnsafeBytes { CID.identity(codec: codec, data: $0) }
        }
        return try hasher.cid(version: version, codec: codec, prefix, chunk, suffix)
    }

    /// A leaf block in one piece, for a file whose only leaf is its root.
    func block(payload: UnsafeRawBufferPointer, metadata: EntryMetadata) -> [UInt8] {
        guard codec == .dagPB else { return Array(payload) }
        return UnixFSEncoding.block(
            links: [],
            message: UnixFSEncoding.leafMessage(type, payload: payload, metadata: metadata))
    }
}
