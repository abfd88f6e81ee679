import Chunker
import Importer
import Multiformats
import Spill
import VectorInputs

/// What an import produced.
struct ImportResult {
    var root: ImportedEntry
    /// Distinct blocks in the order of their first emission.
    var blocks: [(cid: CID, byteCount: Int)] = []
    /// The bytes of each block, when they were asked for.
    var contents: [CID: [UInt8]] = [:]
    var entries: [ImportedEntry] = []
    /// Lengths of all chunks in order.
    var chunkByteCounts: [Int] = []
    var leaves: [CID] = []

    /// The last report of each path.
    var cidsByPath: [[UInt8]: CID] {
        Dictionary(entries.map { ($0.path, $0.cid) }) { _, last in last }
    }
}

/// The shortest correct way from files to blocks: one thread, whole inputs, no queue.
struct ImportDriver {
    let options: ImportOptions
    private var importer: TreeImporter
    private let hasher: BlockHasher
    private let encoder: LeafEncoder
    private let finder: any ChunkBoundaryFinder
    private let keepsContents: Bool
    private var seen: Set<CID> = []
    private var blocks: [(cid: CID, byteCount: Int)] = []
    private var contents: [CID: [UInt8]] = [:]
    private var entries: [ImportedEntry] = []
    private var chunkByteCounts: [Int] = []
    private var leaves: [CID] = []

    init(
        _ options: ImportOptions, limits: DirectoryLimits = DirectoryLimits(),
        keepsContents: Bool = false
    ) throws {
        self.options = options
        self.keepsContents = keepsContents
        importer = try TreeImporter(options: options, scratch: MemoryScratch(), limits: limits)
        hasher = try BlockHasher(options.hashFunction)
        encoder = LeafEncoder(options)
        finder = options.chunker.makeBoundaryFinder()
    }

    /// Adds a node and everything below it, in the order of its entries.
    mutating func add(_ node: VectorNode, at path: [[UInt8]]) throws {
        let metadata = EntryMetadata(
            mode: node.mode,
            mtime: node.mtime.map { UnixFSTime(seconds: $0, nanoseconds: node.mtimeNanoseconds) })
        let place = try ImportPath(components: path)
        switch node.content {
        case .file(let spec): try addFile(place, metadata, spec)
        case .symlink(let target):
            try importer.addSymlink(place, target: target, metadata)
            drain()
        case .directory(let entries):
            try importer.addDirectory(place, metadata)
            drain()
            for entry in entries { try add(entry, at: path + [entry.name]) }
        }
    }

    mutating func addFile(_ path: String, _ text: String = "x") throws {
        try addFile(
            ImportPath.cleaning(Array(path.utf8)), EntryMetadata(),
            .bytes(Array(text.utf8)))
    }

    mutating func addDirectory(_ path: String, _ metadata: EntryMetadata = .none) throws {
        try importer.addDirectory(ImportPath.cleaning(Array(path.utf8)), metadata)
        drain()
    }

    mutating func addSymlink(_ path: String, target: String) throws {
        try importer.addSymlink(
            ImportPath.cleaning(Array(path.utf8)), target: Array(target.utf8), .none)
        drain()
    }

    mutating func finish() throws -> ImportResult {
        let root = try importer.finish()
        drain()
        return ImportResult(
            root: root, blocks: blocks, contents: contents, entries: entries,
            chunkByteCounts: chunkByteCounts, leaves: leaves)
    }

    mutating func addFile(
        _ path: ImportPath, _ metadata: EntryMetadata, _ spec: InputSpec
    ) throws {
        try importer.beginFile(path, metadata)
        drain()
        var buffer: [UInt8] = []
        var held: [UInt8]?
        try spec.forEachPiece { piece in
            buffer.append(contentsOf: piece)
            if buffer.count >= options.chunker.maximumChunkByteCount {
                try takeChunks(&buffer, isFinal: false, held: &held)
            }
        }
        try takeChunks(&buffer, isFinal: true, held: &held)
        if let held {
            _ = try held.withUnsafeBytes { try importer.endFile(.payload($0)) }
        } else {
            try importer.endFile()
        }
        drain()
    }

    /// - Parameter held: The first chunk, while it may be the only one and metadata is stored.
    private mutating func takeChunks(
        _ buffer: inout [UInt8], isFinal: Bool, held: inout [UInt8]?
    ) throws {
        var start = 0
        while start < buffer.count {
            let window = buffer[start...]
            let isEnough = isFinal || window.count >= options.chunker.maximumChunkByteCount
            let count = window.withUnsafeBytes {
                finder.firstChunkByteCount(in: $0, isFinal: isFinal)
            }
            guard isEnough, let count else { break }
            let chunk = Array(window.prefix(count))
            start += count
            chunkByteCounts.append(count)
            if let first = held {
                try appendLeaf(first)
                held = nil
            } else if options.storesMetadata, chunkIsFirst {
                held = chunk
                chunkIsFirst = false
                continue
            }
            try appendLeaf(chunk)
        }
        buffer.removeFirst(start)
        if isFinal { chunkIsFirst = true }
    }

    private var chunkIsFirst = true

    private mutating func appendLeaf(_ chunk: [UInt8]) throws {
        var frame = [UInt8](repeating: 0, count: LeafEncoder.maximumFrameByteCount)
        let (prefixCount, suffixCount) = frame.withUnsafeMutableBytes {
            encoder.frame(chunkByteCount: chunk.count, into: $0)
        }
        let prefix = Array(frame[..<prefixCount])
        let suffix = Array(frame[prefixCount..<prefixCount + suffixCount])
        let cid = try prefix.withUnsafeBytes { prefix in
            try chunk.withUnsafeBytes { chunk in
                try suffix.withUnsafeBytes { suffix in
                    try encoder.cid(prefix, chunk, suffix, hasher: hasher)
                }
            }
        }
        let block = prefix + chunk + suffix
        leaves.append(cid)
        if !cid.isIdentity { note(cid, block) }
        try importer.appendLeaf(
            LeafReference(cid: cid, blockByteCount: block.count, fileByteCount: chunk.count))
        drain()
    }

    private mutating func drain() {
        for output in importer.takeOutput() {
            switch output {
            case .block(let cid, let block): note(cid, block)
            case .entry(let entry): entries.append(entry)
            }
        }
    }

    private mutating func note(_ cid: CID, _ block: [UInt8]) {
        guard seen.insert(cid).inserted else { return }
        blocks.append((cid, block.count))
        if keepsContents { contents[cid] = block }
    }
}

/// Imports the input of a vector as a client would send it: a nameless root is called "root", and
/// a nameless directory that is to be wrapped is the wrapper itself.
///
/// - Returns: The result, and what stands before the vector's own paths.
func importing(
    _ input: VectorNode, _ options: ImportVectorOptions, limits: DirectoryLimits = .init(),
    keepsContents: Bool = false
) throws -> (ImportResult, prefix: [UInt8]) {
    let options = try ImportOptions(options)
    var driver = try ImportDriver(options, limits: limits, keepsContents: keepsContents)
    guard options.wrap else {
        let name = input.name.isEmpty ? Array("root".utf8) : input.name
        try driver.add(input, at: [name])
        return (try driver.finish(), name + [UInt8(ascii: "/")])
    }
    if input.name.isEmpty {
        for entry in input.entries { try driver.add(entry, at: [entry.name]) }
    } else {
        try driver.add(input, at: [input.name])
    }
    return (try driver.finish(), [])
}
