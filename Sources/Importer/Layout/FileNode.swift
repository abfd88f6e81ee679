import Multiformats

/// An inner node of a file while its children arrive, already in wire form.
struct FileNode {
    private(set) var linkCount = 0
    private(set) var firstChild: Subtree?
    private var links: [UInt8] = []
    private var blockSizes: [UInt8] = []
    private var childrenByteCount: UInt64 = 0
    private var fileByteCount: UInt64 = 0

    mutating func append(_ child: Subtree) {
        if linkCount == 0 { firstChild = child }
        linkCount += 1
        appendLink(to: child)
        UnixFSEncoding.appendBlockSize(child.fileByteCount, to: &blockSizes)
        childrenByteCount += child.cumulativeByteCount
        fileByteCount += child.fileByteCount
    }

    /// Emits the node and leaves it empty for the next one.
    mutating func close(
        metadata: EntryMetadata = .none, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        let message = UnixFSEncoding.fileMessage(
            fileByteCount: fileByteCount, blockSizes: blockSizes, metadata: metadata)
        let subtree = try emitter.emit(
            UnixFSEncoding.block(links: links, message: message),
            childrenByteCount: childrenByteCount, fileByteCount: fileByteCount)
        reset()
        return subtree
    }

    /// Appends a link without a name in one piece: a file of small chunks has millions of them.
    private mutating func appendLink(to child: Subtree) {
        let cidByteCount = child.cid.byteCount
        let tsize = child.cumulativeByteCount
        let linkByteCount = DagPB.linkByteCount(
            cidByteCount: cidByteCount, nameByteCount: 0, tsize: tsize)
        withUnsafeTemporaryAllocation(byteCount: linkByteCount, alignment: 1) { link in
            var end = 0
            func put(_ tag: UInt8, _ value: Int) {
                link[end] = tag
                end += 1
                end += Varint.write(
                    UInt64(value), to: UnsafeMutableRawBufferPointer(rebasing: link[end...]))
            }
            let tsizeByteCount = Varint.byteCount(tsize)
            let cidFieldByteCount = 1 + Varint.byteCount(UInt64(cidByteCount)) + cidByteCount
            put(0x12, cidFieldByteCount + 2 + 1 + tsizeByteCount)
            put(0x0a, cidByteCount)
            end += child.cid.write(to: UnsafeMutableRawBufferPointer(rebasing: link[end...]))
            put(0x12, 0)
            put(0x18, Int(tsize))
            links.append(contentsOf: link)
        }
    }

    mutating func reset() {
        linkCount = 0
        firstChild = nil
        links.removeAll(keepingCapacity: true)
        blockSizes.removeAll(keepingCapacity: true)
        childrenByteCount = 0
        fileByteCount = 0
    }
}
