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
    func keepAlive(
        _ peer: PeerID, seconds: Int, began: @Sendable (UInt64) async throws -> Void
    ) async throws {
        var backoff = Backoff()
        while !Task.isCancelled {
            var held: UInt64?
            do {
                let lease = try await client.grantLease(
                    seconds: seconds, timeout: limits.answerTimeout)
                held = lease
                _ = try await client.transact(
                    if: [], then: [.put(key(of: peer), value: [], lease: lease)],
                    timeout: limits.answerTimeout, isRepeatable: true)
                try await began(lease)
                backoff.reset()
                while try await client.renewLease(lease, timeout: limits.answerTimeout) {
                    try await Task.sleep(for: .seconds(seconds) / 3)
                }
            } catch {
                guard Task.isCancelled || error is EtcdError else { throw error }
            }
            if Task.isCancelled, let held { await giveBack(held) }
            _ = await backoff.wait()
        }
    }

    /// Peers whose keys went, also while nobody was looking.
    func expirations() -> AsyncStream<ExpiredLease> {
        AsyncStream { continuation in
            let task = Task {
                var known: [[UInt8]: UInt64] = [:]
                var backoff = Backoff()
                while !Task.isCancelled {
                    do {
                        try await follow(&known, continuation, &backoff)
                    } catch {
                        _ = await backoff.wait()
                    }
                }
                continuation.finish()
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    private func follow(
        _ known: inout [[UInt8]: UInt64], _ continuation: AsyncStream<ExpiredLease>.Continuation,
        _ backoff: inout Backoff
    ) async throws {
        let found = try await client.range(
            EtcdRange(.beginning(keys.alive)), timeout: limits.answerTimeout)
        let present = Dictionary(uniqueKeysWithValues: found.keyValues.map { ($0.key, $0.lease) })
        for (key, lease) in known.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) })
        where present[key] != lease {
            report(key, lease, to: continuation)
        }
        known = present
        backoff.reset()
        let events = try await client.watch(
            EtcdWatch(.beginning(keys.alive), from: found.revision + 1))
        for try await batch in events {
            for event in batch {
                switch event {
                case .put(let keyValue):
                    known[keyValue.key] = keyValue.lease
                case .delete(let key, _, _):
                    if let lease = known.removeValue(forKey: key) {
                        report(key, lease, to: continuation)
                    }
                }
            }
        }
    }

    private func report(
        _ key: [UInt8], _ lease: UInt64, to continuation: AsyncStream<ExpiredLease>.Continuation
    ) {
        let text = String(decoding: key.dropFirst(keys.alive.count), as: UTF8.self)
        // A key that names no peer is nobody's.
        guard let peer = try? PeerID(text) else { return }
        continuation.yield(ExpiredLease(peer: peer, lease: lease))
    }

    private func key(of peer: PeerID) -> [UInt8] { keys.alive + Array(peer.description.utf8) }

    private func giveBack(_ lease: UInt64) async {
        // In a task of its own: this one is cancelled. A lease that stays runs out by itself.
        let client = client
        await Task.detached { try? await client.revokeLease(lease, timeout: .seconds(1)) }.value
    }
}
