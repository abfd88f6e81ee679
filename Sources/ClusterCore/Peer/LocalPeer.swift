import Logging
import Multiformats
import Pinset
import PosixIO
import ShardPlanner
import Spill
import Synchronization

/// This machine's part of the cluster: the log and its state, the shard files, and what keeps the
/// two in agreement.
package final class LocalPeer: Sendable {
    package let identity: PeerIdentity
    package let storageID: StorageID
    /// The former storage of this peer is lost.
    private let replacesStorage: Bool
    package let name: String
    package let driver: PinsetDriver
    package let store: ShardStore
    package let roots: RootRecords
    package let received: ReceivedShards
    package let journals: UploadJournals
    let snapshots: SnapshotFiles
    /// Calls other peers; `nil` where there are none.
    let client: PeerClient?
    /// Commands the log keeps for peers that were away for a while.
    let keptCommandCount: Int
    private let live: LiveUploads
    private let started = Mutex(false)
    /// Hashing and disk work; a job never waits for another one.
    package let workers: WorkerPool
    package let scratch: any ScratchSpace
    package let reconciler: Reconciler
    let capacity: CapacityGauge
    let spool = Spool()
    let log: Logger

    package var id: PeerID { identity.peer }

    /// The disk is in order: uploads and other peers' shards can be taken.
    package var isReady: Bool { started.withLock { $0 } }

    package init(
        identity: PeerIdentity, storageID: StorageID, replacesStorage: Bool = false, name: String,
        driver: PinsetDriver,
        store: ShardStore, roots: RootRecords, received: ReceivedShards,
        journals: UploadJournals, snapshots: SnapshotFiles, client: PeerClient?,
        keptCommandCount: Int, workers: WorkerPool,
        scratch: any ScratchSpace, capacity: CapacityGauge, log: Logger
    ) {
        self.identity = identity
        self.storageID = storageID
        self.replacesStorage = replacesStorage
        self.name = name
        self.driver = driver
        self.store = store
        self.roots = roots
        self.received = received
        self.journals = journals
        self.snapshots = snapshots
        self.client = client
        self.keptCommandCount = keptCommandCount
        self.workers = workers
        self.scratch = scratch
        self.capacity = capacity
        self.log = log
        live = LiveUploads()
        reconciler = Reconciler(
            peer: identity.peer, driver: driver, store: store, roots: roots,
            received: received, live: live, workers: workers, log: log)
    }

    /// Applies the log, puts the disk in order, and then keeps state and disk in agreement until
    /// the task is cancelled.
    ///
    /// - Parameters:
    ///   - place: Where this peer is, for the others.
    ///   - work: Done beside the rest once the peer is ready, until it is cancelled.
    ///   - whenReady: Called once the peer can take uploads and answer reads.
    ///   - beforeLeaving: What a peer that others have removed still does, while it applies the log.
    /// - Throws: `PeerRemoved` when others have removed this peer, and what the log ends with.
    package func run(
        at place: PeerPlace, besides work: @escaping @Sendable () async throws -> Void = {},
        whenReady: @escaping @Sendable () async throws -> Void,
        beforeLeaving: @escaping @Sendable () async throws -> Void = {}
    ) async throws {
        let held = OneShot<Void>()
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.applyLog() }
                group.addTask { try await self.stayAlive(at: place, held) }
                group.addTask {
                    // Before anything is said or removed in this peer's name.
                    let reminder = Task { try await self.sayWhatIsAwaited() }
                    defer { reminder.cancel() }
                    try await held.value(ifCancelled: .closed(cause: "the daemon is stopping"))
                    reminder.cancel()
                    try await self.start(at: place)
                    self.started.withLock { $0 = true }
                    try await whenReady()
                    do {
                        try await self.takePart(besides: work)
                    } catch {
                        // What is done for a member may have been refused first.
                        guard (try? await self.isMember()) == false, !Task.isCancelled else {
                            throw error
                        }
                        self.started.withLock { $0 = false }
                        try await beforeLeaving()
                        throw PeerRemoved(peer: self.id)
                    }
                }
                // Whichever ends first ends the peer; a failure of the log must not leave it half
                // alive.
                try await group.next()
                group.cancelAll()
            }
        } catch {
            // Whoever was cut off in the middle of something says so in its own way.
            if Task.isCancelled { throw CancellationError() }
            throw error
        }
    }

    /// What a member does, until it is none.
    private func takePart(besides work: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingDiscardingTaskGroup { loops in
            loops.addTask { try await self.reconciler.run() }
            loops.addTask { try await self.reportCapacity() }
            loops.addTask { try await self.reportLostPeers() }
            loops.addTask { try await self.keepHistory() }
            loops.addTask { try await work() }
            loops.addTask { try await self.watchMembership() }
        }
    }

    /// How long a command whose outcome is unknown is repeated, unless it must be known.
    private static let patience = Duration.seconds(15)

    /// Appends a command and waits until it is applied and durable.
    ///
    /// - Throws: `CommandRefused` when the state refused it, `LogError` when it has no outcome.
    @discardableResult
    package func perform(_ command: Command) async throws -> Outcome {
        try await perform(command, until: .now + Self.patience)
    }

    /// As `perform`, but does not give up while the command may be in the log: for commands after
    /// which a wrong guess would cost data.
    @discardableResult
    package func settle(_ command: Command) async throws -> Outcome {
        try await perform(command, until: nil)
    }

    private func perform(
        _ command: Command, until deadline: ContinuousClock.Instant?
    ) async throws -> Outcome {
        let requestID = driver.makeRequestID()
        var mayBeDone = false
        let outcome = try await driver.repeating { () async throws(LogError) in
            try await driver.append(command, as: requestID)
        } while: { error in
            if case .unknownOutcome = error { mayBeDone = true }
            return mayBeDone && deadline.map { .now < $0 } ?? true
        }
        if let refusal = outcome.refusal { throw CommandRefused(refusal: refusal) }
        return outcome
    }

    /// Applies what was in the log when this began.
    ///
    /// - Returns: Whether that was possible in time.
    package func catchUp(within limit: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                // An election takes a moment. Why it takes longer, the log's own messages say.
                var backoff = Backoff()
                repeat {
                    let isDone = try? await self.driver.read(.linearizable) { _ in true }
                    if isDone == true { return true }
                } while await backoff.wait()
                return false
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    // MARK: Uploads of this peer

    /// An upload is about to be opened here; as long as it is under way nobody aborts it.
    package func uploadBegins(_ upload: UploadID) { live.insert(upload) }

    /// An upload is over. If the state still has it open, because its end did not get into the log,
    /// it is aborted as soon as that is possible.
    package func uploadEnded(_ upload: UploadID) {
        live.remove(upload)
        reconciler.wake()
    }

    /// Leaves a claimed copy to be released when its upload has ended by the state.
    package func leave(_ copy: ShardCopyID, of upload: UploadID, number: Int) {
        received.adopt(copy, ReceivedShards.Place(upload: upload, number: number))
        // The upload may have ended meanwhile.
        reconciler.wake()
    }

    /// The generation of the copy of a shard that is here, or the one that a new copy gets.
    package func generation(ofShard shard: CID) async throws -> Int {
        try await driver.read { [id] state in
            // What is known of drops is forgotten while copies live on, so the copy goes first.
            state.shard(shard)?.copy(on: id)?.generation ?? state.generation(ofShard: shard, on: id)
        }
    }

    /// Moves the claim on a copy to a later generation of it.
    ///
    /// - Returns: The copy as it is called now.
    package func renewClaim(on copy: ShardCopyID, generation: Int) async throws -> ShardCopyID {
        let renewed = try await workers.run { [store] in
            try store.renew(copy, generation: generation)
        }
        do {
            // Where another upload had brought the later copy already, nobody else looks after this one.
            try await releaseClaim(copy)
        } catch {
            log.error(
                "a former copy of a shard may stay until the next start",
                metadata: ["shard": "\(copy.shard)", "error": "\(error)"])
        }
        return renewed
    }

    /// Ends the claim on a copy; its file goes unless the state lists it.
    package func releaseClaim(_ copy: ShardCopyID) async throws {
        try await reconciler.release(copy)
    }

    // MARK: Start

    private func start(at place: PeerPlace) async throws {
        // What others did while this peer was away comes first: the disk is judged by it.
        try await driver.catchUp(logger: log)
        try await checkState()
        try await join(at: place)
        let resumable = try await openJournals()
        for upload in resumable { live.insert(upload) }
        // Other uploads cannot go on in another process.
        try await reconciler.abortOrphans()
        try await workers.run { [store] in
            try store.staging.sweep(keeping: Set(resumable.map(\.description)))
        }
        await takeSpaceForLog()
        try await reconciler.sweep()
        let readable = try await driver.read { [id] state in
            state.holdings(of: id).copies
                .filter { state.isNeededByRoot($0.shard) }
                .map { ShardCopyID(shard: $0.shard, generation: $0.generation) }
        }
        let damage = try await workers.run { [store] in
            try store.openCatalogue(readable: readable)
        }
        for error in damage {
            log.error("a shard here is damaged", metadata: ["error": "\(error)"])
        }
    }

    /// Where there is no log but this peer's own, a state that does not even know the peer is a new one in the
    /// place of one that was lost: by it, all that is on the disk would be removed.
    private func checkState() async throws {
        guard client == nil, try await !isMember() else { return }
        let (shardCount, rootCount) = (store.copies.count, roots.uploads.count)
        guard shardCount > 0 || rootCount > 0 else { return }
        throw StateMismatch(
            path: driver.store.path, shardCount: shardCount, rootCount: rootCount,
            members: try await driver.read { $0.members.map(\.peer) })
    }

    /// Uploads of this peer that can go on. Journals of those that have ended without a root are removed.
    private func openJournals() async throws -> [UploadID] {
        let uploads = journals.uploads.sorted()
        let records = try await driver.read { state in uploads.map { state.upload($0) } }
        var open: [UploadID] = []
        for (upload, record) in zip(uploads, records) {
            switch record?.phase {
            case .open where record?.options.coordinator == id: open.append(upload)
            case .committed: await closeJournal(of: upload)
            default: try await workers.run { [journals] in try journals.remove(upload) }
            }
        }
        return open
    }

    /// What is left of the journal of a complete upload only answers those who ask for it again.
    private func closeJournal(of upload: UploadID) async {
        do {
            try await workers.run { [path = journals.path(of: upload)] in
                try UploadJournal.closeIfNeeded(path)
            }
        } catch {
            log.warning(
                "the journal of a complete upload cannot be shortened",
                metadata: ["upload": "\(upload)", "error": "\(error)"])
        }
    }

    private func join(at place: PeerPlace) async throws {
        let outcome = try await driver.appendPersistently(
            .joinPeer(
                PeerJoin(
                    peer: id, name: name, addresses: place.addresses, zone: place.zone,
                    host: place.host, storageID: storageID,
                    capacityByteCount: try await measuredCapacity(),
                    replacesStorage: replacesStorage)), logger: log)
        if let refusal = outcome.refusal { throw CommandRefused(refusal: refusal) }
        try await warnIfFull()
    }

    /// Bytes of SQLite's write-ahead log that have disk space from the start. SQLite begins to write
    /// the log anew at a quarter of it.
    private static let logByteCount = 16 << 20

    /// Takes the log's disk space ahead of time: on a full disk, the end of an upload must still be
    /// recorded. Zeros at the log's end mean nothing to SQLite, and it has no locks on this file.
    private func takeSpaceForLog() async {
        do {
            try await workers.run { [path = driver.store.path + "-wal"] in
                try FileDescriptor(path, for: .update).preallocate(0..<Self.logByteCount)
            }
        } catch {
            log.warning(
                "no disk space could be set aside for the log; free some",
                metadata: ["error": "\(error)"])
        }
    }
}

/// The disk has shards of which the state knows nothing.
struct StateMismatch: Error, CustomStringConvertible {
    let path: String
    let shardCount: Int
    let rootCount: Int
    /// Those of the state.
    let members: [PeerID]

    var description: String {
        let what = "there are \(shardCount) shards and the records of \(rootCount) roots"
        guard members.isEmpty else {
            let names = members.map(\.description).joined(separator: ", ")
            return "\(what), but the state in \(path) is of \(names) and not of this peer; put "
                + "back its identity and its settings of the cluster"
        }
        return "\(what), but the state in \(path) is new: by it they would be removed; put a "
            + "backup of the state back, or, to begin anew, move the folders shards and roots away"
    }
}
