import ClusterCore
import ImportPipeline
import Importer
import Logging
import Multiformats
import Pinset
import ShardPlanner
import Spill

/// One upload from open to commit or abort: packs the blocks of an import into shards, reserves
/// their space before their first byte, and makes the root visible when all of them are durable.
///
/// One task uses it. A full shard is sealed beside that task while the next one fills.
final class UploadSession: BlockSink {
    /// A shard being sealed. The task is the only one that still touches its writer.
    private struct Sealing {
        let number: Int
        let task: Task<SealedCopy, any Error>
    }

    /// What is written while the shard is open.
    private struct OpenShard {
        let number: Int
        let writer: ShardWriter
        var reservedByteCount: Int
        /// List-node bytes and their index entries, which the file gets at the end.
        var listByteCount = 0
    }

    /// Shards sealed at once beside the one that fills.
    private static let sealingLimit = 2
    /// Reservations beyond the first are asked for in steps of at least this many bytes.
    private static let extensionByteCount = 8 << 20

    let id: UploadID
    private let peer: LocalPeer
    private let client: PeerClient?
    private let name: String
    private let log: Logger
    private var packer: ShardPacker
    private let seen: SpillTable
    private var shard: OpenShard?
    private let links = ListNodeBuilder()
    private let shardLinks = ListNodeBuilder()
    /// Leaves of the cluster DAG that are complete already.
    private var clusterNodes: [ListNodeBlock] = []
    private var sealing: [Sealing] = []
    /// Copies on this peer, by number.
    private var claims: [Int: ShardCopyID] = [:]
    /// All sealed shards in order, with the generation of the copy here or 0.
    private var sealed: [ShardCopyID] = []
    /// Called for every finished file, symlink and directory.
    private let report: (ImportedEntry, [PeerID]) -> Void
    /// Peers of the newest shard.
    private var allocations: [PeerID] = []
    /// File bytes still expected, for a reservation that is no larger than the upload.
    private var expectedByteCount: Int?
    private(set) var shardCount = 0
    private(set) var blockCount = 0
    private(set) var duplicateBlockCount = 0
    private(set) var payloadByteCount = 0

    /// Opens the upload in the state.
    ///
    /// - Throws: `Refusal.noSpace` and its like as `CommandRefused` when what is expected cannot fit.
    init(
        peer: LocalPeer, client: PeerClient?, id: UploadID, options: UploadOptions, log: Logger,
        report: @escaping (ImportedEntry, [PeerID]) -> Void
    ) async throws {
        self.peer = peer
        self.client = client
        self.id = id
        self.log = log
        self.report = report
        name = options.name
        expectedByteCount = options.expectedByteCount
        packer = ShardPacker(limit: options.shardLimitByteCount)
        // The system's generator: an uploader must not foresee how the table is laid out.
        seen = SpillTable(scratch: peer.scratch, seed: UInt64.random(in: 0...UInt64.max))
        peer.uploadBegins(id)
        do {
            try await peer.perform(.openUpload(id, options))
        } catch {
            peer.uploadEnded(id)
            throw error
        }
    }

    // MARK: Blocks

    func put(_ cid: CID, _ block: BlockBytes) async throws {
        guard
            try seen.insertIfAbsent(
                SpillKey(cid.key32.word0, cid.key32.word1, cid.key32.word2, cid.key32.word3), 0)
                == nil
        else {
            duplicateBlockCount += 1
            return
        }
        if try packer.add(blockByteCount: block.byteCount) {
            try await closeShard()
            try await openShard()
        }
        try await reserve(for: cid, blockByteCount: block.byteCount)
        try await shard!.writer.append(cid, block.prefix, block.payload, block.suffix)
        if let leaf = try links.append(cid) { try await shard!.writer.append(listNode: leaf) }
        blockCount += 1
        payloadByteCount += block.byteCount
    }

    func entryDone(_ entry: ImportedEntry) async throws {
        report(entry, allocations)
    }

    // MARK: Shards

    private func openShard() async throws {
        let number = shardCount
        let byteCount = firstReservation
        let outcome = try await peer.perform(
            .reserveShard(id, number: number, byteCount: byteCount))
        guard case .reserved(let reserved) = outcome else {
            preconditionFailure("reserving answers with peers")
        }
        allocations = reserved.peers
        if !reserved.peers.contains(peer.id) { try await peer.checkSpool(for: byteCount) }
        shardCount += 1
        let writer = try await peer.store.makeWriter(upload: id.description, number: number)
        writer.reservedByteCount = byteCount
        shard = OpenShard(number: number, writer: writer, reservedByteCount: byteCount)
    }

    /// Enough for a full shard with large blocks, or for all that is known to come.
    private var firstReservation: Int {
        let frames = 1 << 20
        let limit = packer.limitByteCount.map { min($0, 1 << 40) + frames }
        let expected = expectedByteCount.map { max(0, $0 - payloadByteCount) + 64 << 10 }
        let wanted = [limit, expected].compactMap(\.self).min()
        return wanted ?? ReservationSteps.smallestStepByteCount
    }

    /// Raises the reservation before the file could grow beyond it.
    private func reserve(for cid: CID, blockByteCount: Int) async throws {
        shard!.listByteCount += cid.byteCount + 18
        let needed =
            shard!.writer.fileByteCount + shard!.listByteCount
            + ShardFormat.byteCount(of: cid, blockByteCount: blockByteCount)
            + ShardFormat.closingByteCount
        guard needed > shard!.reservedByteCount else { return }
        let byteCount =
            packer.limitByteCount == nil
            ? ReservationSteps.byteCount(atLeast: needed) : needed + Self.extensionByteCount
        try await peer.perform(.extendReservation(id, number: shard!.number, byteCount: byteCount))
        shard!.reservedByteCount = byteCount
        shard!.writer.reservedByteCount = byteCount
    }

    /// Closes the open shard and lets it be sealed beside this task.
    private func closeShard() async throws {
        guard let closing = shard else { return }
        shard = nil
        if sealing.count >= Self.sealingLimit { try await finishOldestSealing() }
        let list = links.finish()
        if let leaf = try shardLinks.append(list.root) { clusterNodes.append(leaf) }
        let job = SealJob(
            delivery: ShardDelivery(
                peer: peer, client: client, upload: id, number: closing.number),
            writer: closing.writer)
        // Not a child of a task group, because the group's scope would have to be the upload itself;
        // `finish` and `abort` await every one of these.
        let task = Task { try await job.run(listNodes: list.blocks) }
        sealing.append(Sealing(number: closing.number, task: task))
    }

    private func finishOldestSealing() async throws {
        let sealing = sealing[0]
        let copy = try await sealing.task.value
        self.sealing.removeFirst()
        sealed.append(copy.own ?? ShardCopyID(shard: copy.shard, generation: 0))
        claims[sealing.number] = copy.own
    }

    // MARK: End

    /// Seals what is open and makes the root visible.
    func commit(root: CID, contentByteCount: Int) async throws {
        try await closeShard()
        while !sealing.isEmpty { try await finishOldestSealing() }
        let list = shardLinks.finish()
        let record = RootRecordFile(
            upload: id, root: root, clusterDAG: list.root, name: name,
            clusterNodes: clusterNodes + list.blocks,
            shards: sealed)
        try await peer.roots.write(record)
        let commit = UploadCommit(
            root: root, clusterDAG: list.root, shardCount: shardCount,
            contentByteCount: contentByteCount)
        try await peer.settle(.commitUpload(id, commit))
        try await peer.workers.run { [store = peer.store, copies = Array(claims.values)] in
            try store.makeReadable(copies)
        }
        await releaseClaims()
        await removeStaging()
        peer.uploadEnded(id)
    }

    /// Gives up: nothing of the upload stays in the state or on disk.
    func abort(reason: String) async {
        await shard?.writer.abandon()
        shard = nil
        for one in sealing { one.task.cancel() }
        for one in sealing {
            // One that failed has claimed nothing, and is why we abort.
            if let sealed = try? await one.task.value { claims[one.number] = sealed.own }
        }
        sealing = []
        // First: on a full disk, the state may need the space to record the end.
        await removeStaging()
        do {
            try await peer.perform(.abortUpload(id, reason: reason))
        } catch {
            log.warning(
                "the end of an upload did not get into the log; it is tried again",
                metadata: ["upload": "\(id)", "error": "\(error)"])
        }
        // Only the state knows when the copies are of no more use.
        for (number, copy) in claims { peer.leave(copy, of: id, number: number) }
        claims = [:]
        peer.uploadEnded(id)
    }

    private func releaseClaims() async {
        for copy in claims.values {
            do {
                try await peer.releaseClaim(copy)
            } catch {
                log.error(
                    "a shard file could not be removed; a restart does it",
                    metadata: ["shard": "\(copy.shard)", "error": "\(error)"])
            }
        }
        claims = [:]
    }

    private func removeStaging() async {
        do {
            try await peer.workers.run { [store = peer.store, id] in
                try store.removeStaging(upload: id.description)
            }
        } catch {
            log.error(
                "staging could not be removed; a restart does it",
                metadata: ["upload": "\(id)", "error": "\(error)"])
        }
    }
}

/// Seals one shard (list nodes, index, header, fsync) and delivers it.
///
/// `@unchecked Sendable`: the session hands the writer over and never touches it again.
private struct SealJob: @unchecked Sendable {
    let delivery: ShardDelivery
    let writer: ShardWriter

    func run(listNodes: [ListNodeBlock]) async throws -> SealedCopy {
        let staged: StagedShard
        do {
            staged = try await writer.seal(listNodes: listNodes)
        } catch {
            await writer.abandon()
            throw error
        }
        return SealedCopy(shard: staged.cid, own: try await delivery.run(staged))
    }
}

/// A shard that is sealed and where its promise holds.
private struct SealedCopy: Sendable {
    let shard: CID
    /// The copy on this peer, if there is one.
    let own: ShardCopyID?
}
