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
    private let workers: WorkerPool
    private let log: Logger
    private let bell = AsyncStream.makeStream(
        of: Void.self, bufferingPolicy: .bufferingNewest(1))
    /// Drops whose space is free; bounded by the pending drops of the state.
    private let gone = AsyncStream.makeStream(of: DroppedShard.self)
    /// Drops under way, some of them with files still open for readers.
    private let removing = Mutex<Set<DroppedShard>>([])

    init(
        peer: PeerID, driver: PinsetDriver, store: ShardStore, roots: RootRecords,
        received: ReceivedShards, workers: WorkerPool, log: Logger
    ) {
        self.peer = peer
        self.driver = driver
        self.store = store
        self.roots = roots
        self.received = received
        self.workers = workers
        self.log = log
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
                    try await self.makeReadable(after: hints)
                    self.wake()
                }
            }
            group.addTask {
                for await _ in self.store.endsOfAwaitedReads { self.wake() }
            }
            group.addTask {
                for await _ in self.bell.stream {
                    try await self.releaseWhatArrived()
                    try await self.dropWhatIsNotNeeded()
                }
            }
            group.addTask {
                for await drop in self.gone.stream { try await self.confirm(drop) }
            }
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
        // Files from before a pending drop go with it, so that the drop is confirmed.
        for copy in present.subtracting(held)
        where dropped[copy.shard].map({ copy.generation >= $0 }) ?? true && !store.isClaimed(copy) {
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

    /// Lets blocks be found whose roots were committed.
    private func makeReadable(after hints: EffectHints) async throws {
        let copies = try await driver.read { [peer] state in
            let copies =
                hints.isIncomplete
                ? state.holdings(of: peer).copies.filter { !state.roots(ofShard: $0.shard).isEmpty }
                : hints.effects.flatMap { effect in
                    guard case .uploadEnded(let upload) = effect else { return [Holdings.Copy]() }
                    return state.copies(of: upload, on: peer)
                }
            return copies.map { ShardCopyID(shard: $0.shard, generation: $0.generation) }
        }
        guard !copies.isEmpty else { return }
        try await workers.run { [store] in try store.makeReadable(copies) }
    }

    /// Ends the claims on what uploads of other peers have brought, once they have ended.
    private func releaseWhatArrived() async throws {
        let uploads = received.uploads
        guard !uploads.isEmpty else { return }
        let ended = try await driver.read { state in
            uploads.filter { state.upload($0)?.isOpen != true }
        }
        for upload in ended {
            let copies = try await received.forget(upload)
            try await workers.run { [store] in
                try store.removeStaging(upload: upload.description)
            }
            for copy in copies { try await release(copy) }
        }
    }

    /// Ends the claim on a copy; its file goes unless the state lists it.
    func release(_ copy: ShardCopyID) async throws {
        guard let lastClaim = store.release(copy) else { return }
        let held = try await driver.read { [peer] state in
            state.shard(copy.shard)?.copy(on: peer)?.generation
        }
        guard held != copy.generation else { return }
        try await workers.run { [store] in try store.removeUnheld(copy, lastClaim: lastClaim) }
    }

    private func dropWhatIsNotNeeded() async throws {
        let drops = try await driver.read { [peer] state in
            state.holdings(of: peer).drops.map {
                DroppedShard(shard: $0.shard, generation: $0.generation)
            }
        }
        for drop in drops {
            guard removing.withLock({ $0.insert(drop).inserted }) else { continue }
            let isGoing = try await workers.run { [store, gone] in
                try store.removeCopies(of: drop.shard, droppedAs: drop.generation) {
                    gone.continuation.yield(drop)
                }
            }
            if !isGoing { removing.withLock { _ = $0.remove(drop) } }
        }
        try await removeRootRecords()
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
                case nil: !state.allRoots.contains { $0.upload == upload }
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
