import ClusterCore
import Importer
import Multiformats
import NIOCore
import PosixIO
import ShardPlanner

/// Why a block cannot be given to a reader.
enum BlockReadError: Error, CustomStringConvertible {
    case notFound(CID)
    case tooLarge(CID, byteCount: Int)
    /// The bytes on disk do not match the CID.
    case corrupt(CID, shard: CID)

    var description: String {
        switch self {
        case .notFound(let cid):
            "block \(cid) is in no shard of a committed root that a live peer has"
        case .tooLarge(let cid, let byteCount):
            "block \(cid) has \(byteCount) bytes, more than the \(ReadingLimits.maximumBlockByteCount) "
                + "that are served as one block"
        case .corrupt(let cid, let shard):
            "block \(cid) in shard \(shard) does not match its CID: the file on disk is damaged; "
                + "`ingest-cli verify` lists what else is"
        }
    }
}

/// Fetches blocks from the shards on disk, on workers, and verifies each against its CID.
struct BlockReader: Sendable {
    let store: ShardStore
    let workers: WorkerPool
    /// Finds the blocks that are derived from the state instead of stored in a shard.
    let listNode: @Sendable (CID) async -> [UInt8]?
    /// `nil` where there are no other peers.
    var remote: RemoteBlocks?
    /// Told of damage here that a copy elsewhere made good.
    var whenDamaged: @Sendable (any Error) -> Void = { _ in }

    /// Starts to fetch a block; its bytes are verified.
    func start(_ cid: CID) -> Completion<ByteBuffer> {
        workers.start { [store] in try Self.load(cid, from: store) }
    }

    /// Fetches a block, from whichever peer has it, and waits for it.
    func block(_ cid: CID) async throws -> ByteBuffer {
        do {
            return try await localBlock(cid)
        } catch {
            guard let remote, Self.otherCopiesMayDo(after: error) else { throw error }
            guard
                let bytes = try await remote.load(
                    cid, limit: ReadingLimits.maximumBlockByteCount)
            else { throw error }
            if case BlockReadError.notFound = error {} else { whenDamaged(error) }
            return bytes
        }
    }

    /// Whether the block may be whole elsewhere.
    private static func otherCopiesMayDo(after error: any Error) -> Bool {
        switch error {
        case BlockReadError.tooLarge, is CancellationError: false
        default: true
        }
    }

    /// Fetches a block from this peer alone.
    func localBlock(_ cid: CID) async throws -> ByteBuffer {
        if let data = cid.identityData { return ByteBuffer(bytes: data) }
        do {
            return try await start(cid).value()
        } catch BlockReadError.notFound {
            if let bytes = await listNode(cid) { return ByteBuffer(bytes: bytes) }
            throw BlockReadError.notFound(cid)
        }
    }

    private static func load(_ cid: CID, from store: ShardStore) throws -> ByteBuffer {
        guard let location = try store.locate(cid) else { throw BlockReadError.notFound(cid) }
        guard location.byteCount <= ReadingLimits.maximumBlockByteCount else {
            throw BlockReadError.tooLarge(cid, byteCount: location.byteCount)
        }
        var buffer = ByteBufferAllocator().buffer(capacity: location.byteCount)
        let isIntact = try buffer.writeWithUnsafeMutableBytes(
            minimumWritableBytes: location.byteCount
        ) { space in
            let block = UnsafeMutableRawBufferPointer(rebasing: space[..<location.byteCount])
            try location.read(into: block)
            guard try BlockVerifier().verify(cid, UnsafeRawBufferPointer(block)) else {
                store.noteDamage(at: location)
                throw BlockReadError.corrupt(cid, shard: location.shard)
            }
            return location.byteCount
        }
        precondition(isIntact == location.byteCount)
        return buffer
    }
}

/// Fetches the blocks a walk will want before it asks for them, a bounded number at once.
struct BlockPrefetcher {
    /// Blocks under way or waiting; with blocks of 1 MiB, 8 MiB a reader.
    static let windowBlockCount = 8

    private enum Fetch {
        /// From this peer's disk: without a task, which is cheaper.
        case local(Completion<ByteBuffer>)
        case anywhere(Task<ByteBuffer, any Error>)

        func value() async throws -> ByteBuffer {
            switch self {
            case .local(let completion): try await completion.value()
            case .anywhere(let task): try await task.value
            }
        }
    }

    private let reader: BlockReader
    private var underWay: [(cid: CID, fetch: Fetch)] = []

    init(_ reader: BlockReader) {
        self.reader = reader
    }

    /// Starts on blocks that will be wanted soon, as far as the window allows.
    mutating func expect(_ cids: [CID]) {
        for cid in cids where underWay.count < Self.windowBlockCount {
            if underWay.contains(where: { $0.cid == cid }) { continue }
            if reader.remote == nil {
                underWay.append((cid, .local(reader.start(cid))))
            } else {
                underWay.append((cid, .anywhere(Task { [reader] in try await reader.block(cid) })))
            }
        }
    }

    /// The block that is wanted now. What was expected before it is forgotten.
    mutating func take(_ cid: CID) async throws -> ByteBuffer {
        guard let index = underWay.firstIndex(where: { $0.cid == cid }) else {
            return try await reader.block(cid)
        }
        let fetch = underWay[index].fetch
        underWay.removeFirst(index + 1)
        do {
            return try await fetch.value()
        } catch BlockReadError.notFound {
            // Nodes of a cluster DAG are made, not stored.
            return try await reader.block(cid)
        }
    }
}
