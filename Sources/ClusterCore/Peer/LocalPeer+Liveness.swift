import Logging
import Multiformats
import Pinset

/// Who is there: engines see leases end, the state knows only what commands say.
extension LocalPeer {
    /// Shows others that this peer is there, and takes back what they said of it meanwhile.
    ///
    /// - Parameter held: Resolved once nobody else can live under this identity.
    func stayAlive(_ held: OneShot<Void>) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask {
                try await self.driver.keepAlive(self.id) { _ in
                    held.resolve(.success(()))
                    try await self.sayUp()
                }
            }
            group.addTask {
                // A report that this peer is gone may cross with its new lease.
                for await hints in await self.driver.effects()
                where hints.isIncomplete || hints.effects.contains(.membership) {
                    try await self.sayUp()
                }
            }
        }
    }

    private func sayUp() async throws {
        let isDown = try await driver.read { [id] in $0.peer(id).map { $0.status != .up } ?? false }
        if isDown { try await driver.appendPersistently(.setPeerStatus(id, .up), logger: log) }
    }

    /// Tells the state of peers whose lease has ended.
    func reportLostPeers() async throws {
        for await expired in driver.expiredLeases() where expired.peer != id {
            let (isUp, now) = try await driver.read { state in
                (state.peer(expired.peer)?.status == .up, state.logTime)
            }
            guard isUp else { continue }
            log.warning("a peer is gone", metadata: ["peer": "\(expired.peer)"])
            try await driver.appendPersistently(
                .setPeerStatus(expired.peer, .down(since: max(now, .wallClock()))), logger: log)
        }
    }
}
