import Multiformats

/// A finished node as its parent sees it.
struct Subtree {
    var cid: CID
    /// Tsize: the node's block and everything below, in bytes.
    var cumulativeByteCount: UInt64
    /// Bytes of the file that are below.
    var fileByteCount: UInt64 = 0
}

/// Names finished blocks and queues what an import produces.
struct BlockEmitter {
    /// Path of the entry whose blocks are being emitted, for errors.
    var owner: [UInt8] = []
    private let hasher: BlockHasher
    private let version: CID.Version
    private let inlineLimit: Int?
    private let sink: OutputSink?
    private var pending: [ImportOutput] = []
    private var pendingByteCount = 0

    /// A sink gets the output in portions of about this many bytes.
    private static let portionByteCount = 1 << 20

    init(_ options: ImportOptions, sink: OutputSink?) throws(ImportError) {
        do {
            hasher = try BlockHasher(options.hashFunction)
        } catch {
            throw .hash(error)
        }
        version = options.cidVersion
        inlineLimit = options.inlineLimit
        self.sink = sink
    }

    /// Emits a block, unless it fits into its CID.
    mutating func emit(
        _ block: [UInt8], codec: Codec, version: CID.Version
    ) throws(ImportError) -> CID {
        if let inlineLimit, block.count <= inlineLimit {
            return block.withUnsafeBytes { CID.identity(codec: codec, data: $0) }
        }
        let cid: CID
        do {
            cid = try hasher.cid(version: version, codec: codec, block)
        } catch {
            throw .hash(error)
        }
        if !cid.isIdentity { try queue(.block(cid, block), byteCount: block.count) }
        return cid
    }

    /// Emits a dag-pb block of the import's CID version.
    mutating func emit(
        _ block: [UInt8], childrenByteCount: UInt64, fileByteCount: UInt64 = 0
    ) throws(ImportError) -> Subtree {
        guard block.count <= ImportError.maximumBlockByteCount else {
            throw .blockTooLarge(path: owner, byteCount: block.count)
        }
        return Subtree(
            cid: try emit(block, codec: .dagPB, version: version),
            cumulativeByteCount: childrenByteCount + UInt64(block.count),
            fileByteCount: fileByteCount)
    }

    mutating func report(_ entry: ImportedEntry) throws(ImportError) {
        try queue(.entry(entry), byteCount: entry.path.count + 128)
    }

    mutating func takeOutput() -> [ImportOutput] {
        defer {
            pending = []
            pendingByteCount = 0
        }
        return pending
    }

    private mutating func queue(_ output: ImportOutput, byteCount: Int) throws(ImportError) {
        pending.append(output)
        pendingByteCount += byteCount
        guard let sink, pendingByteCount >= Self.portionByteCount else { return }
        do {
            try sink(takeOutput())
        } catch {
            throw .output(error)
        }
    }
}
