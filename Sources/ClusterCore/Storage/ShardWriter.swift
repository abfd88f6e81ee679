import Multiformats
import PosixIO
import ShardPlanner
import Spill

/// A shard file whose contents are complete and durable under its staging name.
package struct StagedShard: Sendable {
    package let cid: CID
    package let path: String
    package let fileByteCount: Int
    /// Blocks of the data, without the list nodes.
    package let blockCount: Int
    /// Sum of the lengths of those blocks: what ipfs-cluster calls the shard's size.
    package let payloadByteCount: Int
    /// 1, or 2 when the list of blocks has an indirect level.
    package let depth: Int

    /// Opens the file for sending it.
    func open() throws -> ShardFile {
        try ShardFile(path: path, copy: ShardCopyID(shard: cid, generation: 0), serial: 0)
    }
}

/// What a shard holds, as its description says it.
package struct ShardContents: Sendable {
    let blockCount: Int
    let payloadByteCount: Int
    let depth: Int
}

/// Writes one shard to a staging file, in one pass. One task uses it.
///
/// A writer that goes on with the file of an earlier one is first told again of all that is in the file
/// (`skip`), and then `resume`d.
package final class ShardWriter {
    private let path: String
    private let segments: SegmentWriter
    /// It counts what the file has, and cannot write before it is resumed.
    package private(set) var isRepeating: Bool
    /// Reused for the head of each section.
    private var head: [UInt8] = []
    private var index: ShardIndexBuilder
    package private(set) var blockCount = 0
    package private(set) var payloadByteCount = 0
    private var depth = 1
    /// Length up to which disk space may be asked for ahead of the writes: what is reserved.
    package var reservedByteCount = 0 {
        didSet { segments.preallocationLimit = reservedByteCount }
    }

    init(
        path: String, file: FileDescriptor?, pool: SegmentPool, workers: WorkerPool,
        scratch: any ScratchSpace
    ) async throws {
        self.path = path
        segments = SegmentWriter(file: file, pool: pool, workers: workers)
        index = ShardIndexBuilder(scratch: scratch)
        isRepeating = file == nil
        if isRepeating {
            segments.skip(ShardFormat.firstSectionOffset)
        } else {
            try await append([UInt8](repeating: 0, count: ShardFormat.firstSectionOffset))
        }
    }

    /// Length of the file if the shard were sealed now, list nodes not counted.
    package var fileByteCount: Int {
        segments.byteCount + index.byteCount
    }

    /// Appends a block, given as the runs of bytes it consists of.
    package func append(
        _ cid: CID, _ prefix: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer,
        _ suffix: UnsafeRawBufferPointer
    ) async throws {
        let byteCount = prefix.count + payload.count + suffix.count
        try await appendSection(cid, byteCount, prefix, payload, suffix)
        blockCount += 1
        payloadByteCount += byteCount
    }

    /// Appends a leaf of the shard's list node, which is complete before the shard is.
    package func append(listNode: ListNodeBlock) async throws {
        depth = 2
        try await appendListNode(listNode)
    }

    /// Makes durable what was appended, but for the last bytes.
    ///
    /// - Returns: Those: less than 4096.
    package func flush() async throws -> [UInt8] { try await segments.flush() }

    // MARK: Going on

    /// Counts a block that the file has already.
    package func skip(_ cid: CID, blockByteCount: Int) throws {
        try skipSection(cid, blockByteCount)
        blockCount += 1
        payloadByteCount += blockByteCount
    }

    /// Counts a leaf of the shard's list node that the file has already.
    package func skip(listNode: ListNodeBlock) throws {
        depth = 2
        try skipSection(listNode.cid, listNode.bytes.count)
    }

    /// Goes on behind what was skipped.
    ///
    /// - Parameter rest: What the last `flush` returned; `nil` when the file was sealed after it.
    package func resume(rest: [UInt8]?) async throws {
        try await segments.resume(path, rest: rest)
        isRepeating = false
    }

    /// Where the sections end that were appended or skipped.
    package var payloadEnd: Int { segments.byteCount }

    /// What the shard holds so far.
    package var contents: ShardContents {
        ShardContents(blockCount: blockCount, payloadByteCount: payloadByteCount, depth: depth)
    }

    private func skipSection(_ cid: CID, _ byteCount: Int) throws {
        try index.add(cid, offset: segments.byteCount - ShardFormat.payloadOffset)
        segments.skip(CARWriter.sectionByteCount(cid, blockByteCount: byteCount))
    }

    // MARK: Sections

    private func appendListNode(_ node: ListNodeBlock) async throws {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        try await withStableBytes(node.bytes) {
            try await appendSection(node.cid, $0.count, none, $0, none)
        }
    }

    /// Appends the list nodes that are left, root last, writes index and header, and makes the file durable.
    package func seal(listNodes: [ListNodeBlock]) async throws -> StagedShard {
        guard let root = listNodes.last?.cid else {
            preconditionFailure("a shard has at least its root node")
        }
        for node in listNodes { try await appendListNode(node) }
        let payloadEnd = segments.byteCount
        try await index.write { try await self.append($0) }
        let header =
            CARv2.Header(dataByteCount: UInt64(payloadEnd - ShardFormat.payloadOffset)).encoded
            + CARHeader(roots: [root]).encoded
        precondition(header.count == ShardFormat.firstSectionOffset)
        let fileByteCount = segments.byteCount
        try await segments.finish(header: header)
        return StagedShard(
            cid: root, path: path, fileByteCount: fileByteCount, blockCount: blockCount,
            payloadByteCount: payloadByteCount, depth: depth)
    }

    /// Waits for writes under way; the staging file is left to be removed.
    package func abandon() async {
        await segments.abandon()
    }

    private func appendSection(
        _ cid: CID, _ byteCount: Int, _ prefix: UnsafeRawBufferPointer,
        _ payload: UnsafeRawBufferPointer, _ suffix: UnsafeRawBufferPointer
    ) async throws {
        try index.add(cid, offset: segments.byteCount - ShardFormat.payloadOffset)
        let sectionByteCount = CARWriter.sectionByteCount(cid, blockByteCount: byteCount)
        head.removeAll(keepingCapacity: true)
        CARWriter.appendSectionHead(cid, blockByteCount: byteCount, to: &head)
        guard sectionByteCount <= segments.room else {
            try await append(head)
            try await segments.append(prefix)
            try await segments.append(payload)
            return try await segments.append(suffix)
        }
        var next = segments.nextByte
        head.withUnsafeBytes { next = Self.copy($0, to: next) }
        next = Self.copy(prefix, to: next)
        next = Self.copy(payload, to: next)
        next = Self.copy(suffix, to: next)
        segments.advance(sectionByteCount)
    }

    private static func copy(
        _ bytes: UnsafeRawBufferPointer, to destination: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        guard let base = bytes.baseAddress else { return destination }
        destination.copyMemory(from: base, byteCount: bytes.count)
        return destination + bytes.count
    }

    private func append(_ bytes: [UInt8]) async throws {
        try await withStableBytes(bytes) { try await segments.append($0) }
    }

    /// Lends an array's bytes to code that suspends, at an address that stays the same.
    private func withStableBytes(
        _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try await body(UnsafeRawBufferPointer(copy))
    }
}
