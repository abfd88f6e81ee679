import ClusterCore
import ImportPipeline
import Importer
import IngestAPI
import Logging
import Multiformats
import Pinset
import ShardPlanner
import Spill

/// One upload from open to commit or abort: packs the blocks of an import into shards, reserves
/// their space before their first byte, and makes the root visible when all of them are durable.
///
/// One task uses it. A full shard is sealed beside that task while the next one fills.
///
/// A session can go on with an upload that another one has begun: it is told again of all blocks that
/// are in shard files (`putAgain`), then `resume`d.
final class UploadSession: BlockSink {
    /// A shard being sealed. The tasks are the only ones that still touch its writer.
    private struct Sealing {
        let number: Int
        /// Makes its file whole and durable.
        let staging: Task<StagedShard, any Error>
        /// Brings it to its peers.
        let delivery: Task<SealedCopy, any Error>
    }

    /// What is written while the shard is open.
    private struct OpenShard {
        let number: Int
        var writer: ShardWriter
        /// The state has it already, so its blocks are only counted.
        var isSealed = false
        var reservedByteCount: Int
        /// What it takes of this disk before it is written to, where all its copies are for others.
        var spool: SpoolSpace?
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
    /// Another session may have to go on with this upload.
    private let isResumable: Bool
    /// This one goes on with it.
    private let isResumed: Bool
    private let log: Logger
    private var packer: ShardPacker
    private let seen: SpillTable
    private let keys: CIDKeys
    private var shard: OpenShard?
    private let links = ListNodeBuilder()
    private let shardLinks = ListNodeBuilder()
    /// Leaves of the cluster DAG that are complete already.
    private var clusterNodes: [ListNodeBlock] = []
    private var sealing: [Sealing] = []
    /// Copies on this peer, by number.
    private var claims: [Int: ShardCopyID] = [:]
    /// All sealed shards by number, with the generation of the copy here or 0.
    private var sealed: [Int: ShardCopyID] = [:]
    /// Called for every finished file, symlink and directory.
    private let report: (ImportedEntry, [PeerID]) throws -> Void
    /// Peers of the newest shard.
    private var allocations: [PeerID] = []
    /// File bytes still expected, for a reservation that is no larger than the upload.
    private var expectedByteCount: Int?
    private(set) var shardCount = 0
    private(set) var blockCount = 0
    private(set) var duplicateBlockCount = 0
    private(set) var payloadByteCount = 0
    /// Shards whose file names are durable.
    private var namedShardCount = 0

    /// Opens the upload in the state.
    ///
    /// - Parameter isResumed: It is open there already.
    ///
    /// - Throws: `Refusal.noSpace` and its like as `CommandRefused` when what is expected cannot fit.
    init(
        peer: LocalPeer, client: PeerClient?, id: UploadID, options: UploadOptions,
        isResumable: Bool = false, isResumed: Bool = false, log: Logger,
        report: @escaping (ImportedEntry, [PeerID]) throws -> Void
    ) async throws {
        self.peer = peer
        self.client = client
        self.id = id
        self.log = log
        self.report = report
        name = options.name
        self.isResumable = isResumable
        self.isResumed = isResumed
        expectedByteCount = options.expectedByteCount
        packer = ShardPacker(limit: options.shardLimitByteCount)
        // The system's generator: an uploader must not foresee how the table is laid out.
        let seed = UInt64.random(in: 0...UInt64.max)
        keys = CIDKeys(seed: seed)
        seen = SpillTable(scratch: peer.scratch, seed: seed)
        if isResumed { return }
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
        guard try isNew(cid) else { return }
        if try packer.add(blockByteCount: block.byteCount) {
            try await closeShard()
            try await openShard()
        }
        if shard!.isSealed {
            try skip(cid, block.byteCount)
        } else {
            try await reserve(for: cid, blockByteCount: block.byteCount)
            try await shard!.writer.append(cid, block.prefix, block.payload, block.suffix)
            if let leaf = try links.append(cid) {
                try await shard!.writer.append(listNode: leaf)
            }
        }
        blockCount += 1
        payloadByteCount += block.byteCount
    }

    func putAgain(_ cid: CID, blockByteCount: Int) async throws {
        guard try isNew(cid) else { return }
        if try packer.add(blockByteCount: blockByteCount) {
            try await closeShard()
            try await openShardAgain()
        }
        shard!.listByteCount += Self.listByteCount(of: cid)
        try skip(cid, blockByteCount)
        blockCount += 1
        payloadByteCount += blockByteCount
    }

    private func skip(_ cid: CID, _ blockByteCount: Int) throws {
        try shard!.writer.skip(cid, blockByteCount: blockByteCount)
        if let leaf = try links.append(cid) { try shard!.writer.skip(listNode: leaf) }
    }

    /// Whether the upload has not had this block yet.
    private func isNew(_ cid: CID) throws -> Bool {
        guard try seen.insertIfAbsent(SpillKey(keys.key(of: cid)), 0) != nil else { return true }
        duplicateBlockCount += 1
        return false
    }

    func entryDone(_ entry: ImportedEntry) async throws {
        try report(entry, allocations)
    }

    // MARK: Shards

    private func openShard() async throws {
        let number = shardCount
        if isResumed, try await isKnown(number) {
            // A session before this one came further than what it acknowledged.
            try await openShardAgain()
            if shard!.isSealed { return }
            try await peer.workers.run { [store = peer.store, id] in
                try store.staging.remove(upload: id.description, number: number)
            }
            shard!.writer = try await peer.store.staging.makeWriter(
                upload: id.description, number: number)
            shard!.writer.reservedByteCount = shard!.reservedByteCount
            return
        }
        let byteCount = firstReservation
        let outcome = try await peer.perform(
            .reserveShard(id, number: number, byteCount: byteCount))
        guard case .reserved(let reserved) = outcome else {
            preconditionFailure("reserving answers with peers")
        }
        allocations = reserved.peers
        shardCount += 1
        let writer = try await peer.store.staging.makeWriter(upload: id.description, number: number)
        writer.reservedByteCount = byteCount
        shard = OpenShard(number: number, writer: writer, reservedByteCount: byteCount)
    }

    /// Enough for a full shard with large blocks, or for all that is known to come.
    private var firstReservation: Int {
        let frames = 1 << 20
        let limit = packer.limitByteCount.map { min($0, 1 << 40) + frames }
        let expected = expectedByteCount.map {
            max(0, min($0, 1 << 60) - payloadByteCount) + 64 << 10
        }
        let wanted = [limit, expected].compactMap(\.self).min()
        return wanted ?? ReservationSteps.smallestStepByteCount
    }

    /// Raises the reservation before the file could grow beyond it.
    private func reserve(for cid: CID, blockByteCount: Int) async throws {
        if shard!.spool == nil, !allocations.contains(peer.id) {
            shard!.spool = try await peer.spoolSpace(
                for: id, number: shard!.number, byteCount: shard!.reservedByteCount)
        }
        shard!.listByteCount += Self.listByteCount(of: cid)
        let needed =
            shard!.writer.fileByteCount + shard!.listByteCount
            + ShardFormat.byteCount(of: cid, blockByteCount: blockByteCount)
            + ShardFormat.closingByteCount
        guard needed > shard!.reservedByteCount else { return }
        let byteCount =
            packer.limitByteCount == nil
            ? ReservationSteps.byteCount(atLeast: needed) : needed + Self.extensionByteCount
        // First, for nobody takes back what the state has reserved.
        if let spool = shard!.spool { try await peer.raise(spool, to: byteCount) }
        try await peer.perform(.extendReservation(id, number: shard!.number, byteCount: byteCount))
        shard!.reservedByteCount = byteCount
        shard!.writer.reservedByteCount = byteCount
    }

    private static func listByteCount(of cid: CID) -> Int { cid.byteCount + 18 }

    /// Closes the open shard and lets it be sealed beside this task.
    private func closeShard() async throws {
        guard let closing = shard else { return }
        shard = nil
        let list = try finishList()
        if closing.isSealed {
            return try await takeSealed(closing.number, as: list.root)
        }
        if closing.writer.isRepeating {
            // It was closed before, and so is whole wherever it is.
            if let own = claimOwn(closing.number, as: list.root) {
                let contents = closing.writer.contents
                let description = Task { [peer] in
                    try await peer.workers.run { try peer.store.describe(own, contents) }
                }
                return try await deliver(closing.number, own: own, description)
            }
            try await closing.writer.resume(rest: nil)
        }
        // Not a child of a task group, because the group's scope would have to be the upload itself;
        // `commit`, `abort` and `suspend` await every one of these.
        let job = SealJob(writer: closing.writer, listNodes: list.blocks)
        try await deliver(
            closing.number, own: nil, Task { try await job.run() }, spool: closing.spool)
    }

    private func finishList() throws -> (root: CID, blocks: [ListNodeBlock]) {
        let list = links.finish()
        if let leaf = try shardLinks.append(list.root) { clusterNodes.append(leaf) }
        return (list.root, list.blocks)
    }

    /// - Parameters:
    ///   - own: The copy that is here already, claimed.
    ///   - spool: Given back when the shard needs its file in staging no longer.
    private func deliver(
        _ number: Int, own: ShardCopyID?, _ staging: Task<StagedShard, any Error>,
        spool: SpoolSpace? = nil
    ) async throws {
        let delivery = ShardDelivery(
            peer: peer, client: client, upload: id, number: number, isResumable: isResumable)
        do {
            if sealing.count >= Self.sealingLimit { try await finishOldestSealing() }
        } catch {
            // Nobody else knows of these yet.
            _ = try? await staging.value
            if let own { peer.leave(own, of: id, number: number) }
            throw error
        }
        let task = Task { [peer, id] in
            defer { spool?.release() }
            let staged: StagedShard
            do {
                staged = try await staging.value
            } catch {
                if let own { peer.leave(own, of: id, number: number) }
                throw error
            }
            spool?.end(at: staged.fileByteCount)
            return SealedCopy(shard: staged.cid, own: try await delivery.run(staged, own: own))
        }
        sealing.append(Sealing(number: number, staging: staging, delivery: task))
    }

    private func finishOldestSealing() async throws {
        let sealing = sealing[0]
        let copy = try await sealing.delivery.value
        self.sealing.removeFirst()
        sealed[sealing.number] = copy.own ?? ShardCopyID(shard: copy.shard, generation: 0)
        claims[sealing.number] = copy.own
    }

    // MARK: Going on with an upload

    /// Makes all blocks durable, but for the last bytes of the open shard.
    ///
    /// - Returns: Those bytes.
    func checkpoint() async throws -> [UInt8] {
        for one in sealing { _ = try await one.staging.value }
        var rest: [UInt8] = []
        if let shard, !shard.isSealed { rest = try await shard.writer.flush() }
        if namedShardCount < shardCount {
            try await peer.workers.run { [store = peer.store, id] in
                try store.staging.synchronize(upload: id.description)
            }
            namedShardCount = shardCount
        }
        return rest
    }

    /// All blocks that were put before have been put again: goes on with the open shard.
    ///
    /// - Parameter rest: What the last `checkpoint` of the session before returned.
    func resume(rest: [UInt8]) async throws {
        namedShardCount = shardCount
        guard let shard, !shard.isSealed else { return }
        // When that session came further, the file may have its name already.
        if let further = peer.received.copy(of: id, number: shard.number) {
            let (number, byteCount) = (shard.number, shard.writer.payloadEnd)
            try await peer.workers.run { [store = peer.store, id] in
                try store.stage(
                    further, upload: id.description, number: number, byteCount: byteCount)
            }
        }
        try await shard.writer.resume(rest: rest)
    }

    private func isKnown(_ number: Int) async throws -> Bool {
        try await peer.driver.read { [id] state in
            state.reservation(id, number: number) != nil
                || state.sealedShard(id, number: number) != nil
        }
    }

    private func openShardAgain() async throws {
        let number = shardCount
        let (reservation, sealed) = try await peer.driver.read { [id] state in
            (state.reservation(id, number: number), state.sealedShard(id, number: number))
        }
        guard reservation != nil || sealed != nil else {
            throw UploadSessionError.notReserved(shard: number)
        }
        allocations = reservation?.peers ?? sealed?.copies.map(\.peer) ?? []
        shardCount += 1
        let writer = try await peer.store.staging.makeRepeatingWriter(
            upload: id.description, number: number)
        writer.reservedByteCount = reservation?.byteCount ?? 0
        shard = OpenShard(
            number: number, writer: writer, isSealed: sealed != nil,
            reservedByteCount: reservation?.byteCount ?? 0)
    }

    private func takeSealed(_ number: Int, as root: CID) async throws {
        let record = try await peer.driver.read { [id] in $0.sealedShard(id, number: number) }
        guard let record, record.description.cid == root else {
            throw UploadSessionError.notTheSame(shard: number)
        }
        let generation = record.copy(on: peer.id)?.generation
        sealed[number] = ShardCopyID(shard: root, generation: generation ?? 0)
    }

    /// The copy that a session before this one has put in place here.
    private func claimOwn(_ number: Int, as root: CID) -> ShardCopyID? {
        guard peer.received.copy(of: id, number: number)?.shard == root else { return nil }
        return peer.store.claimNewest(of: root)
    }

    // MARK: End

    /// Seals what is open and makes the root visible.
    func commit(root: CID, contentByteCount: Int) async throws {
        try await closeShard()
        while !sealing.isEmpty { try await finishOldestSealing() }
        let list = shardLinks.finish()
        let sealed = (0..<shardCount).compactMap { self.sealed[$0] }
        let record = RootRecordFile(
            upload: id, root: root, clusterDAG: list.root, name: name,
            clusterNodes: clusterNodes + list.blocks,
            shards: sealed)
        try await peer.roots.write(record)
        let commit = UploadCommit(
            root: root, clusterDAG: list.root, shardCount: shardCount,
            contentByteCount: contentByteCount)
        try await peer.settle(.commitUpload(id, commit))
        do {
            let damage = try await peer.workers.run { [store = peer.store] in
                try store.makeReadable(sealed)
            }
            for error in damage { log.error("\(error)") }
        } catch {
            // It is committed, whatever happens now. The reconciler sees to it again.
            log.error("blocks cannot be read yet", metadata: ["error": "\(error)"])
        }
        await releaseClaims()
        await removeStaging()
        peer.uploadEnded(id)
    }

    /// Gives up: nothing of the upload stays in the state or on disk.
    func abort(reason: String) async {
        await shard?.writer.abandon()
        shard = nil
        await stopSealing()
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

    /// Leaves the upload to a later session, or to another process.
    func suspend() async {
        await shard?.writer.abandon()
        shard = nil
        await stopSealing()
        for (number, copy) in claims { peer.leave(copy, of: id, number: number) }
        claims = [:]
    }

    private func stopSealing() async {
        for one in sealing { one.delivery.cancel() }
        for one in sealing {
            // One that failed has claimed nothing, and is why the upload ends here.
            if let sealed = try? await one.delivery.value { claims[one.number] = sealed.own }
            _ = try? await one.staging.value
        }
        sealing = []
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
                try store.staging.remove(upload: id.description)
            }
        } catch {
            log.error(
                "staging could not be removed; a restart does it",
                metadata: ["upload": "\(id)", "error": "\(error)"])
        }
    }
}

/// Seals one shard: list nodes, index, header, fsync.
///
/// `@unchecked Sendable`: the session hands the writer over and never touches it again.
private struct SealJob: @unchecked Sendable {
    let writer: ShardWriter
    let listNodes: [ListNodeBlock]

    func run() async throws -> StagedShard {
        do {
            return try await writer.seal(listNodes: listNodes)
        } catch {
            await writer.abandon()
            throw error
        }
    }
}

/// A shard that is sealed and where its promise holds.
private struct SealedCopy: Sendable {
    let shard: CID
    /// The copy on this peer, if there is one.
    let own: ShardCopyID?
}

/// Why an upload cannot go on.
enum UploadSessionError: CodedError {
    case notTheSame(shard: Int)
    case notReserved(shard: Int)

    var description: String {
        switch self {
        case .notReserved(let shard):
            "the cluster's state has no shard \(shard) of the upload, which its journal has"
        case .notTheSame(let shard):
            "bytes that were sent again are not those that were sent before: shard \(shard) came out "
                + "differently"
        }
    }

    var errorCode: ErrorCode {
        switch self {
        case .notReserved: .internalError
        case .notTheSame: .contentChanged
        }
    }
}
