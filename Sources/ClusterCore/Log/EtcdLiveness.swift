import EtcdClient
import Multiformats
import Pinset

/// Who is alive, by keys that go with their peer's lease.
struct EtcdLiveness: Sendable {
    let client: EtcdClient
    let keys: EtcdLogKeys
    let limits: EtcdLog.Limits
    /// Tells this process from others that live, or lived, under its identity.
    let process: ProcessNonce

    /// Keeps `peer` alive, under one lease after another, until the task is cancelled; then the lease
    /// is given back, so that others need not wait for it to run out.
    ///
    /// - Parameter began: Told the number of each lease once others can see it.
    /// - Throws: `IdentityInUse` when another process keeps the same peer alive. One that was killed
    ///   is waited for until its lease has run out.
    func keepAlive(
        _ peer: PeerID, at address: String, seconds: Int,
        began: @Sendable (UInt64) async throws -> Void
    ) async throws {
        let process = process.bytes + Array(address.utf8)
        var backoff = Backoff()
        var foreignSince: ContinuousClock.Instant?
        while !Task.isCancelled {
            var held: UInt64?
            do {
                let lease = try await client.grantLease(
                    seconds: seconds, timeout: limits.answerTimeout)
                held = lease
                if try await isTaken(keys.life(of: peer), by: process, under: lease) {
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
                // After an outage etcd gives every lease its whole time again.
                foreignSince = nil
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

    /// Peers that live by etcd, and their addresses.
    func livePeers() async throws -> [PeerID: String] {
        let found = try await client.range(
            EtcdRange(.beginning(keys.alive)), timeout: limits.answerTimeout)
        var addresses: [PeerID: String] = [:]
        for keyValue in found.keyValues {
            let name = String(decoding: keyValue.key.dropFirst(keys.alive.count), as: UTF8.self)
            // A key that names no peer is nobody's.
            guard let peer = try? PeerID(name) else { continue }
            addresses[peer] = String(
                decoding: keyValue.value.dropFirst(ProcessNonce.byteCount), as: UTF8.self)
        }
        return addresses
    }

    private func giveBack(_ lease: UInt64) async {
        // In a task of its own: this one is cancelled. A lease that stays runs out by itself.
        let client = client
        await Task.detached { try? await client.revokeLease(lease, timeout: .seconds(1)) }.value
    }
}

/// A random number of one process's life. It begins the value of its key among the live ones; the address
/// follows.
package struct ProcessNonce: Equatable, Sendable {
    static let byteCount = 8

    let bytes: [UInt8]

    package init() {
        var random = SystemRandomNumberGenerator()
        bytes = withUnsafeBytes(of: random.next(), Array.init)
    }

    /// In hexadecimal.
    var text: String { Hexadecimal.text(bytes) }

    init?(text: String) {
        guard let bytes = Hexadecimal.bytes(text), bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Whether a live peer's key was made by this process.
    func made(_ value: [UInt8]) -> Bool { value.starts(with: bytes) }
}

/// Another process lives under this peer's identity.
package struct IdentityInUse: Error, CustomStringConvertible {
    let peer: PeerID

    package var description: String {
        """
        another process has the identity of peer \(peer): its data directory was copied, or is used on \
        two machines; stop one of them, and give a copy an identity of its own with ingestd init. If the \
        copy is to stay and the other goes, remove the directory etcd from the copy first: it is older \
        than what the other has voted for
        """
    }
}
