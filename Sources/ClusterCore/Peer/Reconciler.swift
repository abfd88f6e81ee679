import Logging
import Multiformats
import Pinset
import PosixIO
import ShardPlanner
import Synchronization

/// Brings the disk of this peer to what the state says it holds. Effects of commands only wake it:
/// every look starts from the state, so a crash between saving and acting loses nothing.
package final class Reconciler: Sendable {
    private let peer: PeerID
    private let driver: PinsetDriver
    private let store: ShardStore
    private let roots: RootRecords
    private let received: ReceivedShards
    private let live: LiveUploads
    private let workers: WorkerPool
    private let log: Logger
    /// An upload has ended since the last look for copies whose blocks may be read now.
    private let mustLookForReadable = Mutex(true)
    /// What was applied at that look.
    private let lookedAt = Mutex(LogIndex.beforeFirst)
    private let bell = AsyncStream.makeStream(
        of: Void.self, bufferingPolicy: .bufferingNewest(1))
    /// Drops whose space is free; bounded by the pending drops of the state.
    private let gone = AsyncStream.makeStream(of: DroppedShard.self)
    /// Copies nobody claims any more that could not be removed, each with the number of its last claim.
    private let left = Mutex<[ShardCopyID: UInt64]>([:])
    /// Drops under way, some of them with files still open for readers.
    private let removing = Mutex<Set<DroppedShard>>([])

    init(
        peer: PeerID, driver: PinsetDriver, store: ShardStore, roots: RootRecords,
        received: ReceivedShards, live: LiveUploads, workers: WorkerPool, log: Logger
    ) {
        self.peer = peer
        self.driver = driver
        self.store = store
        self.roots = roots
        self.received = received
        self.live = live
        self.workers = workers
        self.log = log
    }

    private static func isEnd(_ effect: Effect) -> Bool {
        if case .uploadEnded = effect { true } else { false }
    }

    /// Asks for a look soon.
    package func wake() {
        bell.continuation.yield()
    }

    /// Looks whenever something changed, until the task is cancelled.
    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask {
                for await hints in await self.driver.effects() {
                    if hints.isIncomplete || hints.effects.contains(where: Self.isEnd) {
                        self.mustLookForReadable.withLock { $0 = true }
                    }
                    self.wake()
                }
            }
            group.addTask {
                for await _ in self.store.endsOfAwaitedReads { self.wake() }
            }
            group.addTask {
                for await _ in self.bell.stream {
                    // One that fails must not keep the others from being done.
                    try await self.tolerating { try await self.dropWhatIsNotNeeded() }
                    try await self.tolerating { try await self.removeWhatIsLeft() }
                    try await self.tolerating { try await self.releaseWhatArrived() }
                    try await self.tolerating { try await self.abortOrphans() }
                    try await self.tolerating { try await self.makeReadableIfAnUploadEnded() }
                }
            }
            group.addTask {
                for await drop in self.gone.stream { try await self.confirm(drop) }
            }
        }
    }

    /// Lets trouble with the disk pass, and looks again after a while; the end of the log does not pass.
    private func tolerating(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as LogError {
            throw error
        } catch let error as StateStoreError {
            throw error
        } catch let error as CancellationError {
            throw error
        } catch {
            log.error("the disk cannot be put in order now", metadata: ["error": "\(error)"])
            try await Task.sleep(for: .seconds(1))
            wake()
        }
    }

    /// Removes what a former process left and the state does not name, and reports what is missing.
    /// Runs before the first upload, when nothing is claimed.
    func sweep() async throws {
        let holdings = try await driver.read { [peer] state in state.holdings(of: peer) }
        let held = Set(
            holdings.copies.map { ShardCopyID(shard: $0.shard, generation: $0.generation) })
        let dropped = Dictionary(
            uniqueKeysWithValues: holdings.drops.map { ($0.shard, $0.generation) })
        let present = Set(store.copies)
        let withoutCopies = try await driver.read { state in
            Set(present.map(\.shard).filter { state.shard($0)?.copies.isEmpty == true })
        }
        for copy in present.subtracting(held) where !store.isClaimed(copy) {
            // Files from before a pending drop go with it, so that the drop is confirmed.
            if let generation = dropped[copy.shard], copy.generation < generation { continue }
            if withoutCopies.contains(copy.shard) {
                log.error(
                    "keeping the last copy of a shard though the state does not list it here",
                    metadata: ["shard": "\(copy.shard)"])
                continue
            }
            log.notice("removing a shard file no root needs", metadata: ["shard": "\(copy.shard)"])
            try await workers.run { [store] in try store.removeUnknown(copy) }
        }
        for copy in held where !present.contains(copy) {
            log.error(
                "a shard this peer should hold is not on its disk",
                metadata: ["shard": "\(copy.shard)", "generation": "\(copy.generation)"])
        }
        try await dropWhatIsNotNeeded()
    }

    private func makeReadableIfAnUploadEnded() async throws {
        let hasEnded = mustLookForReadable.withLock { hasEnded in
            defer { hasEnded = false }
            return hasEnded
        }
        guard hasEnded else { return }
        do {
            try await makeReadable()
        } catch {
            mustLookForReadable.withLock { $0 = true }
            throw error
        }
    }

    /// Lets blocks be found whose roots were committed.
    package func makeReadable() async throws {
        let applied = driver.position.applied
        // Every reader that misses a block comes here.
        guard lookedAt.withLock({ $0 < applied }) else { return }
        let unreadable = store.unreadableCopies
        let copies = try await driver.read { [peer] state in
            unreadable.filter { copy in
                state.shard(copy.shard)?.copy(on: peer)?.generation == copy.generation
                    && state.isNeededByRoot(copy.shard)
            }
        }
        if !copies.isEmpty {
            let damage = try await workers.run { [store] in try store.makeReadable(copies) }
            for error in damage { log.error("\(error)") }
        }
        lookedAt.withLock { $0 = max($0, applied) }
    }

    /// Aborts uploads of this peer that nobody works on: left by a former process, or ended while
    /// the log could not be reached.
    func abortOrphans() async throws {
        let open = try await driver.read { [peer] state in
            state.allOpenUploads.filter { $0.options.coordinator == peer }.map(\.id)
        }
        for upload in open where !live.contains(upload) {
            log.notice("aborting an upload nobody works on", metadata: ["upload": "\(upload)"])
            try await driver.appendPersistently(
                .abortUpload(
                    upload, reason: "the daemon stopped, or lost the log, during the upload"),
                logger: log)
        }
    }

    private func removeWhatIsLeft() async throws {
        try await all(left.withLock { $0 }) { copy, lastClaim in
            try await removeUnlessNeeded(copy, lastClaim: lastClaim)
        }
    }

    /// Does it with all items: one that fails must not keep the others.
    private func all<Item>(
        _ items: some Sequence<Item>, _ body: (Item) async throws -> Void
    ) async throws {
        var failure: (any Error)?
        for item in items {
            do {
                try await body(item)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Ends the claims on what uploads have brought, once they have ended.
    private func releaseWhatArrived() async throws {
        let uploads = received.uploads
        guard !uploads.isEmpty else { return }
        let ended = try await driver.read { state in
            uploads.filter { state.upload($0)?.isOpen != true }
        }
        // What is still arriving is refused at its end, and rings again then.
        for upload in ended where !received.isArriving(upload) {
            try await workers.run { [store] in
                try store.staging.remove(upload: upload.description)
            }
            try await all(received.forget(upload)) { try await release($0) }
        }
    }

    /// Ends the claim on a copy; its file goes unless the state lists it.
    func release(_ copy: ShardCopyID) async throws {
        guard let lastClaim = store.release(copy) else { return }
        try await removeUnlessNeeded(copy, lastClaim: lastClaim)
    }

    private func removeUnlessNeeded(_ copy: ShardCopyID, lastClaim: UInt64) async throws {
        left.withLock { $0[copy] = lastClaim }
        let isNeeded = try await driver.read { [peer] state in
            // What a removed peer has is judged when it is a member again.
            guard state.peer(peer) != nil else { return true }
            // One whose drop is pending goes with that, after the reads that have it open.
            return state.shard(copy.shard)?.copy(on: peer)?.generation == copy.generation
                || state.isDropPending(of: copy.shard, on: peer, above: copy.generation)
        }
        if !isNeeded {
            try await workers.run { [store] in try store.removeUnheld(copy, lastClaim: lastClaim) }
        }
        left.withLock { _ = $0.removeValue(forKey: copy) }
        if isNeeded { wake() }
    }

    private func dropWhatIsNotNeeded() async throws {
        let drops = try await driver.read { [peer] state in
            state.holdings(of: peer).drops.map {
                DroppedShard(shard: $0.shard, generation: $0.generation)
            }
        }
        var failure: (any Error)?
        for drop in drops {
            guard removing.withLock({ $0.insert(drop).inserted }) else { continue }
            do {
                let isGoing = try await workers.run { [store, gone] in
                    try store.removeCopies(of: drop.shard, droppedAs: drop.generation) {
                        gone.continuation.yield(drop)
                    }
                }
                if !isGoing { removing.withLock { _ = $0.remove(drop) } }
            } catch {
                // One that cannot be removed must not keep the others.
                removing.withLock { _ = $0.remove(drop) }
                failure = error
            }
        }
        try await removeRootRecords()
        if let failure { throw failure }
    }

    /// Tells the state that the space of dropped copies is free.
    private func confirm(_ drop: DroppedShard) async throws {
        // A refusal says that the state has forgotten the drop already, which is as good.
        try await driver.appendPersistently(
            .confirmDropped(peer, shard: drop.shard, generation: drop.generation), logger: log)
        removing.withLock { _ = $0.remove(drop) }
    }

    private func removeRootRecords() async throws {
        let known = roots.uploads
        let unneeded = try await driver.read { state in
            known.filter { upload in
                // Written before the commit, and of no use once the root has another content.
                switch state.upload(upload)?.phase {
                case .open: false
                case .committed(let root, _): state.root(root)?.upload != upload
                case .aborted: true
                case nil: state.rootOfUpload(upload) == nil
                }
            }
        }
        for upload in unneeded { try await roots.remove(upload) }
    }
}

/// Every file of a shard made before its drop number `generation`.
private struct DroppedShard: Hashable {
    let shard: CID
    let generation: Int
}
