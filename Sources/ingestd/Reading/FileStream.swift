import Hummingbird
import Importer
import Multiformats
import NIOCore

/// Sends the bytes of a UnixFS file, or of a range of it, from verified blocks.
struct FileStream {
    private var walk: FileWalk
    private var blocks: BlockPrefetcher
    private let reader: BlockReader

    init(root: CID, reader: BlockReader) throws {
        walk = try FileWalk(root: root)
        blocks = BlockPrefetcher(reader)
        self.reader = reader
    }

    /// Reads the root and says how long the file is.
    mutating func open() async throws -> Int {
        while walk.fileByteCount == nil {
            guard case .needBlock(let cid) = try walk.next() else { break }
            try await supply(cid)
        }
        return walk.fileByteCount ?? 0
    }

    /// Narrows what is sent.
    mutating func select(_ range: Range<Int>) {
        walk.select(range)
    }

    /// The next run of the file's bytes; `nil` at the end.
    mutating func next() async throws -> ByteBuffer? {
        while true {
            switch try walk.next() {
            case .needBlock(let cid):
                try await supply(cid)
            case .leaf(let leaf):
                let ahead = walk.lookahead(BlockPrefetcher.windowBlockCount)
                let isHeld = lastSupplied?.cid == leaf.cid
                // What is here must not take a place in the window that nobody empties.
                blocks.expect(isHeld ? ahead : [leaf.cid] + ahead)
                let block = try await heldOrFetched(leaf.cid)
                let wanted = try block.withUnsafeReadableBytes { try leaf.wantedRange(in: $0) }
                return block.getSlice(
                    at: block.readerIndex + wanted.lowerBound, length: wanted.count)
            case .inlineData(let bytes):
                return ByteBuffer(bytes: bytes)
            case .done:
                return nil
            }
        }
    }

    /// A dag-pb leaf is supplied to the walk first and announced right after: it is still here.
    private var lastSupplied: (cid: CID, block: ByteBuffer)?

    private mutating func heldOrFetched(_ cid: CID) async throws -> ByteBuffer {
        if let held = lastSupplied, held.cid == cid { return held.block }
        return try await blocks.take(cid)
    }

    private mutating func supply(_ cid: CID) async throws {
        blocks.expect([cid] + walk.lookahead(BlockPrefetcher.windowBlockCount))
        let block = try await blocks.take(cid)
        lastSupplied = (cid, block)
        try block.withUnsafeReadableBytes { try walk.supply($0, for: cid) }
    }
}
