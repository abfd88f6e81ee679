import Logging
import Multiformats
import Pinset
import PosixIO
import ShardPlanner

/// The log is short and the archive of each peer long: who was away for longer than the log reaches
/// back goes on from another peer's state.
extension LocalPeer {
    /// Bytes of commands the log keeps at most; an etcd has two gibibytes for everything.
    private static let keptByteCount = 256 << 20
    /// Time between two looks at the log's length, and at the archive's.
    private static let historyInterval = Duration.seconds(10)
    /// Commands between two snapshots of the state. The archive holds twice as many, so one of them is
    /// always continued by it.
    private static let snapshotDistance = DiskSeam.limit(500_000, "SNAPSHOT")

    /// Applies the log, for as long as the peer runs.
    func applyLog() async throws {
        guard client != nil else { return try await driver.run() }
        try await driver.run { try await self.fetchSnapshot() }
    }

    /// Brings a state from any peer that is there; waits for one.
    private func fetchSnapshot() async throws -> PinsetState {
        var backoff = Backoff()
        while true {
            do {
                for (peer, address) in try await driver.livePeers() ?? [:] where peer != id {
                    do {
                        return try await fetchSnapshot(of: peer, at: address)
                    } catch let error as PeerError {
                        log.warning("no state from a peer", metadata: ["error": "\(error)"])
                    }
                }
                log.warning("the log begins too late for this peer, and no other peer is there")
            } catch let error as LogError where error.isPassing {
                log.warning("waiting for the log", metadata: ["cause": "\(error)"])
            }
            guard await backoff.wait() else { throw CancellationError() }
        }
    }

    private func fetchSnapshot(of peer: PeerID, at address: String) async throws -> PinsetState {
        guard let client else { preconditionFailure("a snapshot comes from another peer") }
        return try await snapshots.receive { path in
            try await client.saveState(of: peer, at: address, to: path)
            return try await QueueExecutor(label: "state-arriving").perform { [snapshots] in
                let state = try StateSnapshot.load(from: path)
                // It is what the archive begins with from now on.
                try snapshots.keep(path, at: state.appliedIndex)
                return state
            }
        }
    }

    /// Decides again what was decided, on the state just before, from the archived log; `nil` when it
    /// cannot be decided.
    ///
    /// - Throws: `StateReplayError` when the archive does not reach back so far.
    package func replay(_ decision: KeptDecision) async throws -> AllocationDecision? {
        let before = LogIndex(rawValue: decision.logIndex.rawValue - 1)
        let state = try await replayArchive(
            of: driver.store, from: snapshots, through: before)
        return try? state.replay(decision)
    }

    /// The state as of now, as the lines of a snapshot in a file that goes when it is closed.
    package func openSnapshot() async throws -> FileDescriptor {
        try await snapshots.takeTransient(of: driver.store)
    }

    /// Shortens the log when this peer is the one to do it, and keeps a snapshot that the archive
    /// continues.
    func keepHistory() async throws {
        while true {
            do {
                try await snapshotIfFar()
                try await shortenLog()
            } catch let error as CancellationError {
                throw error
            } catch {
                log.warning("the log was not shortened", metadata: ["error": "\(error)"])
            }
            try await Task.sleep(for: Self.historyInterval)
        }
    }

    private func snapshotIfFar() async throws {
        let begun = try await driver.store.archiveTrimmedThrough()
        let applied = driver.position.applied
        let last = snapshots.newestIndex ?? begun
        if applied.rawValue - min(last, applied).rawValue >= UInt64(Self.snapshotDistance) {
            try await snapshots.take(of: driver.store)
        }
        try await workers.run { [snapshots] in try snapshots.removeOld(before: begun) }
    }

    /// Only what every peer that is up has saved is forgotten, unless one of them is so far behind that
    /// the log would fill its etcd; it gets a snapshot then, as one that was away.
    private func shortenLog() async throws {
        guard let client else { return }
        let members = try await driver.read { $0.members.filter { $0.status == .up } }
        guard members.first?.peer == id,
            var end = try await driver.store.indexBeforeNewest(
                keptCommandCount, byteCount: Self.keptByteCount)
        else { return }
        let isUrgent =
            try await driver.store.indexBeforeNewest(
                keptCommandCount * 4, byteCount: Self.keptByteCount * 2) != nil
        for member in members where member.peer != id && !isUrgent {
            end = min(end, try await client.appliedIndex(of: member))
        }
        try await driver.trimLog(through: end)
    }
}
