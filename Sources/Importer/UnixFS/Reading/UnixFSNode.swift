import Multiformats

/// One decoded UnixFS block: a file or a part of one, a directory or a part of one, or a symlink.
///
/// Decoding checks everything a single block can tell: one block size per link, sizes that add up
/// and fit, a plausible directory fanout. What a parent says about a child is checked by the walks.
package struct UnixFSNode: Sendable {
    /// `Type` of the UnixFS message, with its number on the wire. A block with the raw codec is
    /// `.raw` as well.
    package enum NodeType: UInt64, Sendable {
        case raw = 0
        case directory = 1
        case file = 2
        case metadata = 3
        case symlink = 4
        case hamtShard = 5
    }

    package let type: NodeType
    package let links: [DagPBLink]

    /// Position in the block of the bytes in this node itself: file bytes, the target of a
    /// symlink, the bit field of a directory shard. Empty where there are none.
    package let payload: Range<Int>

    /// Length of the file below this node, its own bytes included; for a symlink the length of its
    /// target; 0 for directories.
    package let fileByteCount: Int

    /// File bytes below each link, in the order of `links`; empty for everything but files.
    package let blockByteCounts: [Int]

    /// Slots of a directory shard; 0 for everything else.
    package let fanout: Int

    /// Unix permission bits as stored, `nil` when the node has none.
    package let mode: UInt32?
    package let mtime: UnixFSTime?

    package var isFile: Bool { type == .file || type == .raw }
    package var isDirectory: Bool { type == .directory || type == .hamtShard }

    /// Decodes a block that has been found to match `cid`.
    ///
    /// - Throws: What is wrong with the block; `codecNotUnixFS` when the CID says that it is
    ///   neither dag-pb nor raw.
    package init(cid: CID, block: UnsafeRawBufferPointer) throws(UnixFSNodeError) {
        switch cid.codec {
        case .raw: self.init(rawBlock: block)
        case .dagPB: try self.init(dagPB: block)
        default: throw .codecNotUnixFS(cid.codec.rawValue)
        }
    }

    private init(rawBlock block: UnsafeRawBufferPointer) {
        type = .raw
        links = []
        payload = 0..<block.count
        fileByteCount = block.count
        blockByteCounts = []
        fanout = 0
        mode = nil
        mtime = nil
    }

    private init(dagPB block: UnsafeRawBufferPointer) throws(UnixFSNodeError) {
        let (links, dataRange) = try Self.split(block)
        let message = try UnixFSMessage(
            decoding: UnsafeRawBufferPointer(rebasing: block[dataRange]))
        self.links = links
        type = message.type
        mode = message.mode
        mtime = message.mtime
        let data = message.data ?? 0..<0
        payload = data.lowerBound + dataRange.lowerBound..<data.upperBound + dataRange.lowerBound
        switch type {
        case .file, .raw:
            blockByteCounts = try Self.blockByteCounts(message, linkCount: links.count)
            fileByteCount = try Self.sum(blockByteCounts, and: data.count)
            if let claimed = message.fileByteCount, claimed != UInt64(fileByteCount) {
                throw .fileSizeMismatch(claimed: claimed, sum: fileByteCount)
            }
            fanout = 0
        case .hamtShard:
            guard message.hashType == 0x22 else { throw .badHashFunction(message.hashType ?? 0) }
            fanout = try Self.checkedFanout(message.fanout ?? 0)
            blockByteCounts = []
            fileByteCount = 0
        case .directory, .metadata, .symlink:
            fanout = 0
            blockByteCounts = []
            fileByteCount = type == .symlink ? data.count : 0
        }
    }

    /// Links of a dag-pb block and where its Data lies, without copying the Data of a leaf.
    private static func split(
        _ block: UnsafeRawBufferPointer
    ) throws(UnixFSNodeError) -> (links: [DagPBLink], data: Range<Int>) {
        if let range = leadingData(in: block), range.upperBound == block.count {
            return ([], range)
        }
        let node: DagPBNode
        do {
            node = try DagPBNode(decoding: block)
        } catch {
            throw .notDagPB(error)
        }
        guard let data = node.data else { throw .noData }
        // Data stands before all links or after them, never between.
        return (node.links, leadingData(in: block) ?? block.count - data.count..<block.count)
    }

    /// Position of a Data field that begins the block.
    static func leadingData(in block: UnsafeRawBufferPointer) -> Range<Int>? {
        var position = 0
        guard let tag = try? Varint.decode(block, at: &position), tag == 0x0a else { return nil }
        // A bad length is reported by the full decoder, which the caller falls back to.
        guard let count = try? Varint.decode(block, at: &position),
            count <= UInt64(block.count - position)
        else { return nil }
        return position..<position + Int(count)
    }

    private static func blockByteCounts(
        _ message: UnixFSMessage, linkCount: Int
    ) throws(UnixFSNodeError) -> [Int] {
        guard message.blockByteCounts.count == linkCount else {
            throw .linkCountMismatch(links: linkCount, blockSizes: message.blockByteCounts.count)
        }
        var counts: [Int] = []
        counts.reserveCapacity(linkCount)
        for value in message.blockByteCounts {
            guard let count = Int(exactly: value) else { throw .fileTooLong }
            counts.append(count)
        }
        return counts
    }

    private static func sum(
        _ counts: [Int], and first: Int
    ) throws(UnixFSNodeError) -> Int {
        var total = first
        for count in counts {
            let (sum, overflow) = total.addingReportingOverflow(count)
            guard !overflow else { throw .fileTooLong }
            total = sum
        }
        return total
    }

    private static func checkedFanout(_ value: UInt64) throws(UnixFSNodeError) -> Int {
        guard let fanout = Int(exactly: value), ReadingLimits.hamtFanouts.contains(fanout),
            fanout & (fanout - 1) == 0
        else { throw .badFanout(value) }
        return fanout
    }
}

/// The file bytes in a leaf block, found without copying them.
package enum UnixFSLeaf {
    /// Where the file bytes of a leaf lie in its block: all of a raw block, the `Data` of a dag-pb
    /// leaf of type File or Raw.
    ///
    /// - Throws: `notALeaf` when the block has links, and whatever decoding it finds.
    package static func payloadRange(
        of block: UnsafeRawBufferPointer, cid: CID
    ) throws(UnixFSNodeError) -> Range<Int> {
        let node = try UnixFSNode(cid: cid, block: block)
        guard node.isFile, node.links.isEmpty else { throw .notALeaf(links: node.links.count) }
        return node.payload
    }
}
