import Importer
import Multiformats
import NIOCore
import Spill

/// Sends a DAG, or the part of it that was asked for, as a CARv1 of verified blocks.
struct ArchiveStream {
    private var walk: DAGWalk
    private var blocks: BlockPrefetcher
    private var header: ByteBuffer?

    init(
        root: CID, blocksOnTheWay: [CID], terminal: CID, scope: DAGWalk.Scope,
        listsDuplicates: Bool, reader: BlockReader, scratch: any ScratchSpace
    ) {
        walk = DAGWalk(
            blocksOnTheWay: blocksOnTheWay, terminal: terminal, scope: scope,
            listsDuplicates: listsDuplicates, scratch: scratch,
            // The system's generator: whoever made the DAG must not foresee how the table is laid out.
            seed: UInt64.random(in: 0...UInt64.max))
        blocks = BlockPrefetcher(reader)
        header = ByteBuffer(bytes: CARHeader(roots: [root]).encoded)
    }

    /// The next run of the archive's bytes; `nil` at the end.
    mutating func next() async throws -> ByteBuffer? {
        if let start = header {
            header = nil
            return start
        }
        while true {
            switch try walk.next() {
            case .section(let cid, let mustSupply):
                let block = try await fetch(cid)
                if mustSupply {
                    try block.withUnsafeReadableBytes { try walk.supply($0, for: cid) }
                }
                var head: [UInt8] = []
                CARWriter.appendSectionHead(cid, blockByteCount: block.readableBytes, to: &head)
                var section = ByteBuffer(bytes: head)
                section.writeImmutableBuffer(block)
                return section
            case .needBlock(let cid):
                let block = try await fetch(cid)
                try block.withUnsafeReadableBytes { try walk.supply($0, for: cid) }
            case .done:
                return nil
            }
        }
    }

    private mutating func fetch(_ cid: CID) async throws -> ByteBuffer {
        blocks.expect([cid] + walk.lookahead(BlockPrefetcher.windowBlockCount))
        return try await blocks.take(cid)
    }
}
