import EtcdClient
import Multiformats
import Pinset
import Synchronization

/// Who is alive, by keys that go with their peer's lease.
struct EtcdLiveness: Sendable {
    let client: EtcdClient
    let keys: EtcdLogKeys
    let limits: EtcdLog.Limits

    /// Keeps `peer` alive, under one lease after another, until the task is cancelled; then the lease
    /// is given back, so that others need not wait for it to run out.
    ///
    /// - Parameter began: Told the number of each lease once others can see it.
    /// - Throws: `IdentityInUse` when another process keeps the same peer alive. One that was killed
    ///   is waited for until its lease has run out.
    func keepAlive(
        _ peer: PeerID, seconds: Int, began: @Sendable (UInt64) async throws -> Void
    ) async throws {
        var random = SystemRandomNumberGenerator()
        let process = withUnsafeBytes(of: random.next(), Array.init)
        var backoff = Backoff()
        var foreignSince: ContinuousClock.Instant?
        while !Task.isCancelled {
            var held: UInt64?
            do {
                let lease = try await client.grantLease(
                    seconds: seconds, timeout: limits.answerTimeout)
                held = lease
                if try await isTaken(key(of: peer), by: process, under: lease) {
                    foreignSince = nil
                    try await began(lease)
                    backoff.reset()
                    while try await isRenewed(lease) {
                        try await Task.sleep(for: .seconds(seconds) / 3)
                    }
                } else {
                    let since = foreignSince ?? .now
                    foreignSince = since
                    guard .now - since < .seconds(seconds) * 2 else {
                        throw IdentityInUse(peer: peer)
                    }
                    await giveBack(lease)
                    held = nil
                }
            } catch {
                guard Task.isCancelled || error is EtcdError else {
                    if let held { await giveBack(held) }
                    throw error
                }
            }
            if Task.isCancelled, let held { await giveBack(held) }
            _ = await backoff.wait()
        }
    }

    /// Whether the key is this process's now.
    private func isTaken(
        _ key: [UInt8], by process: [UInt8], under lease: UInt64
    ) async throws -> Bool {
        let put = EtcdOperation.put(key, value: process, lease: lease)
        let first = try await client.transact(
            if: [.isAbsent(key)], then: [put], otherwise: [.range(EtcdRange(.one(key)))],
            timeout: limits.answerTimeout)
        guard !first.isDone, let holder = first.ranges.first??.keyValues.first else {
            return first.isDone
        }
        // An earlier lease of this process.
        guard holder.value == process else { return false }
        return try await client.transact(
            if: [.isUnchanged(key, since: holder.modRevision)], then: [put],
            timeout: limits.answerTimeout
        ).isDone
    }

    /// Whether a lease is still there, as soon as etcd says so.
    private func isRenewed(_ lease: UInt64) async throws -> Bool {
        var backoff = Backoff()
        while true {
            do {
                return try await client.renewLease(lease, timeout: limits.answerTimeout)
            } catch let error as EtcdError {
                guard await backoff.wait() else { throw error }
            }
        }
    }

    /// Peers whose keys went, also while nobody was looking.
    func expirations() -> AsyncStream<ExpiredLease> {
        AsyncStream { continuation in
            let expirations = EtcdExpirations(
                client: client, keys: keys, limits: limits, report: { continuation.yield($0) })
            let task = Task {
                await expirations.run()
                continuation.finish()
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    private func key(of peer: PeerID) -> [UInt8] { keys.alive + Array(peer.description.utf8) }

    private func giveBack(_ lease: UInt64) async {
        // In a task of its own: this one is cancelled. A lease that stays runs out by itself.
        let client = client
        await Task.detached { try? await client.revokeLease(lease, timeout: .seconds(1)) }.value
    }
}

/// Another process lives under this peer's identity.
package struct IdentityInUse: Error, CustomStringConvertible {
    let peer: PeerID

    package var description: String {
        """
        another process has the identity of peer \(peer): its data directory was copied, or is used on \
        two machines; stop one of them, and give a copy an identity of its own with ingestd init
        """
    }
}

/// Notices the keys of live peers that go.
private final class EtcdExpirations: Sendable {
    /// The lease of each key.
    private typealias Leases = [[UInt8]: UInt64]

    private let client: EtcdClient
    private let keys: EtcdLogKeys
    private let limits: EtcdLog.Limits
    private let report: @Sendable (ExpiredLease) -> Void
    private let known = Mutex<Leases>([:])

    init(
        client: EtcdClient, keys: EtcdLogKeys, limits: EtcdLog.Limits,
        report: @escaping @Sendable (ExpiredLease) -> Void
    ) {
        self.client = client
        self.keys = keys
        self.limits = limits
        self.report = report
    }

    /// Looks until the task is cancelled.
    func run() async {
        var backoff = Backoff()
        while !Task.isCancelled {
            do {
                let present = try await read()
                note(present.leases)
                backoff.reset()
                try await follow(from: present.revision + 1)
            } catch {
                _ = await backoff.wait()
            }
        }
    }

    private func read() async throws -> (leases: Leases, revision: UInt64) {
        let found = try await client.range(
            EtcdRange(.beginning(keys.alive)), timeout: limits.answerTimeout)
        let leases = found.keyValues.map { ($0.key, $0.lease) }
        return (Dictionary(leases) { $1 }, found.revision)
    }

    private func note(_ present: Leases) {
        let before = known.withLock { known in
            defer { known = present }
            return known
        }
        for (key, lease) in before.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) })
        where present[key] != lease {
            report(key, lease)
        }
    }

    private func follow(from revision: UInt64) async throws {
        let watch = EtcdWatch(.beginning(keys.alive), from: revision)
        try await client.follow(watch, silence: limits.watchSilence) { batch in
            batch.forEach(self.note)
        } untold: {
            let before = self.known.withLock { $0 }
            return try await self.read().leases == before ? nil : before
        } isStillUntold: { before in
            self.known.withLock { $0 } == before
        }
    }

    private func note(_ event: EtcdEvent) {
        switch event {
        case .put(let keyValue):
            known.withLock { $0[keyValue.key] = keyValue.lease }
        case .delete(let key, _, _):
            if let lease = known.withLock({ $0.removeValue(forKey: key) }) { report(key, lease) }
        }
    }

    private func report(_ key: [UInt8], _ lease: UInt64) {
        let text = String(decoding: key.dropFirst(keys.alive.count), as: UTF8.self)
        // A key that names no peer is nobody's.
        guard let peer = try? PeerID(text) else { return }
        report(ExpiredLease(peer: peer, lease: lease))
    }
}
