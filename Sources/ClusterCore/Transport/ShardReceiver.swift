import Multiformats
import NIOCore
import PosixIO
import ShardPlanner

/// Why a shard that another peer sends is not taken.
package enum ShardReceiveError: Error, CustomStringConvertible {
    case wrongHash(CID, offset: UInt64)
    case differs(expected: CID, found: CID)
    case listNodeDiffers(expected: CID, found: CID)
    case tooManyBlocks(limit: Int)
    case tooFewBlocks(found: Int, expected: Int)
    case listNodesMissing(count: Int)
    case wrongRoots(expected: CID)
    case largerThanReserved(byteCount: Int)
    case malformed(CARError)

    package var description: String {
        switch self {
        case .wrongHash(let cid, let offset):
            "the block at byte \(offset) of the shard does not match its CID \(cid)"
        case .differs(let expected, let found):
            "what was sent is shard \(found), not \(expected)"
        case .listNodeDiffers(let expected, let found):
            "where list node \(expected) belongs the shard has \(found)"
        case .tooManyBlocks(let limit): "the shard has more than the \(limit) blocks announced"
        case .tooFewBlocks(let found, let expected):
            "the shard ended after \(found) of \(expected) blocks"
        case .listNodesMissing(let count): "\(count) list nodes are missing at the shard's end"
        case .wrongRoots(let expected):
            "the header of the archive does not name \(expected) as its one root"
        case .largerThanReserved(let byteCount):
            "the shard does not fit into the \(byteCount) bytes reserved for it"
        case .malformed(let error): "the shard is not a CAR: \(error)"
        }
    }
}

/// Takes one shard as it arrives from another peer, verifies every block and writes the same file
/// that the sender has. One task uses it.
///
/// The list nodes are made anew from the blocks and compared with those sent: so the shard's CID
/// proves every block and their order.
package final class ShardReceiver {
    private let shard: CID
    private let blockCount: Int
    private let writer: ShardWriter
    private let workers: WorkerPool
    private var reader = CARReader()
    private let list = ListNodeBuilder()
    /// List nodes that come next, in order.
    private var awaited: [ListNodeBlock] = []
    /// Those of them that end the shard.
    private var last: [ListNodeBlock] = []

    /// - Parameter blockCount: Blocks of the data, as the sender announced them.
    init(shard: CID, blockCount: Int, writer: ShardWriter, workers: WorkerPool) {
        self.shard = shard
        self.blockCount = blockCount
        self.writer = writer
        self.workers = workers
    }

    package func take(_ piece: ByteBuffer) async throws {
        let sections = try sections(in: piece)
        guard !sections.isEmpty else { return }
        try await workers.run { try Self.verify(sections) }
        for section in sections { try await add(section) }
    }

    /// Makes the file durable in staging.
    package func finish() async throws -> StagedShard {
        do {
            try reader.finish()
        } catch {
            throw ShardReceiveError.malformed(error)
        }
        guard writer.blockCount == blockCount else {
            throw ShardReceiveError.tooFewBlocks(found: writer.blockCount, expected: blockCount)
        }
        guard awaited.isEmpty else {
            throw ShardReceiveError.listNodesMissing(count: awaited.count)
        }
        let staged = try await writer.seal(listNodes: last)
        guard staged.cid == shard else {
            throw ShardReceiveError.differs(expected: shard, found: staged.cid)
        }
        return staged
    }

    /// Waits for writes under way.
    package func abandon() async { await writer.abandon() }

    private func sections(in piece: ByteBuffer) throws -> [CARReader.Section] {
        do {
            return try piece.withUnsafeReadableBytes { bytes in
                try reader.feed(bytes).compactMap { event in
                    switch event {
                    case .header(let header):
                        guard header.roots.count == 1 else {
                            throw ShardReceiveError.wrongRoots(expected: shard)
                        }
                        guard header.roots[0] == shard else {
                            throw ShardReceiveError.differs(
                                expected: shard, found: header.roots[0])
                        }
                        return nil
                    case .section(let section): return section
                    }
                }
            }
        } catch let error as CARError {
            throw ShardReceiveError.malformed(error)
        }
    }

    private static func verify(_ sections: [CARReader.Section]) throws {
        let verifier = BlockVerifier()
        for section in sections {
            let isIntact = try section.block.withUnsafeBytes {
                try verifier.verify(section.cid, $0)
            }
            guard isIntact else {
                throw ShardReceiveError.wrongHash(section.cid, offset: section.offset)
            }
        }
    }

    private func add(_ section: CARReader.Section) async throws {
        if let node = awaited.first {
            guard node.cid == section.cid else {
                throw ShardReceiveError.listNodeDiffers(expected: node.cid, found: section.cid)
            }
            awaited.removeFirst()
            // Those at the end are written when the shard is sealed.
            if writer.blockCount < blockCount { try await append(leaf: node) }
            return
        }
        guard writer.blockCount < blockCount else {
            throw ShardReceiveError.tooManyBlocks(limit: blockCount)
        }
        try checkRoom(for: section.cid, byteCount: section.block.count)
        try await write(section)
        if let leaf = try list.append(section.cid) { awaited.append(leaf) }
        if writer.blockCount == blockCount {
            // A leaf that the last block completed comes before the nodes that are left.
            for leaf in awaited { try await append(leaf: leaf) }
            last = list.finish().blocks
            let lastByteCount = last.reduce(0) {
                $0 + ShardFormat.byteCount(of: $1.cid, blockByteCount: $1.bytes.count)
            }
            try checkRoom(byteCount: lastByteCount)
            awaited += last
        }
    }

    private func append(leaf: ListNodeBlock) async throws {
        try checkRoom(for: leaf.cid, byteCount: leaf.bytes.count)
        try await writer.append(listNode: leaf)
    }

    /// Refuses what would make the file longer than what is reserved for it.
    private func checkRoom(for cid: CID, byteCount: Int) throws {
        try checkRoom(byteCount: ShardFormat.byteCount(of: cid, blockByteCount: byteCount))
    }

    private func checkRoom(byteCount: Int) throws {
        guard writer.fileByteCount + byteCount <= writer.reservedByteCount else {
            throw ShardReceiveError.largerThanReserved(byteCount: writer.reservedByteCount)
        }
    }

    private func write(_ section: CARReader.Section) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(
            byteCount: section.block.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: section.block)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        try await writer.append(section.cid, none, UnsafeRawBufferPointer(copy), none)
    }
}
