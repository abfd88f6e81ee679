import Logging
import Multiformats
import Pinset

/// Who is there: engines see leases end, the state knows only what commands say.
extension LocalPeer {
    /// Shows others that this peer is there, and takes back what they said of it meanwhile.
    ///
    /// - Parameter held: Resolved once nobody else can live under this identity.
    func stayAlive(at place: PeerPlace, _ held: OneShot<Void>) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask {
                let address = place.addresses.first ?? ""
                try await self.driver.keepAlive(self.id, at: address) { _ in
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

    /// Runs until the peer stops.
    ///
    /// - Throws: `PeerRemoved` when this peer is a member no longer.
    func watchMembership() async throws {
        // The first hints are incomplete: a removal before now is seen as well.
        for await hints in await driver.effects()
        where hints.isIncomplete || hints.effects.contains(.membership) {
            guard try await isMember() else { throw PeerRemoved(peer: id) }
        }
    }

    func isMember() async throws -> Bool {
        try await driver.read { [id] in $0.peer(id) != nil }
    }

    /// Tells the operator, every now and then, why this peer does not start yet.
    func sayWhatIsAwaited() async throws {
        while true {
            try await Task.sleep(for: Self.lookInterval)
            do throws(LogError) {
                _ = try await driver.livePeers()
                log.notice(
                    "waiting: a former process of this peer, or a copy of its data directory, still lives"
                )
            } catch {
                log.warning("waiting for the log", metadata: ["cause": "\(error)"])
            }
        }
    }

    private func sayUp() async throws {
        let isDown = try await driver.read { [id] in $0.peer(id).map { $0.status != .up } ?? false }
        if isDown { try await driver.appendPersistently(.setPeerStatus(id, .up), logger: log) }
    }

    /// Time between two looks at who is there.
    private static let lookInterval = Duration.seconds(3)

    /// Tells the state of members that are not there, also of those that went while nobody looked.
    func reportLostPeers() async throws {
        var missing: Set<PeerID> = []
        while true {
            try await Task.sleep(for: Self.lookInterval)
            let live: Set<PeerID>
            do throws(LogError) {
                guard let found = try await driver.livePeers() else { return }
                live = Set(found.keys)
            } catch {
                // Without the log nobody can say who is there.
                missing = []
                continue
            }
            let (up, now) = try await driver.read { state in
                (Set(state.members.filter { $0.status == .up }.map(\.peer)), state.logTime)
            }
            let gone = up.subtracting(live).subtracting([id])
            // Twice in a row: one that comes back joins a moment before it can be seen.
            for peer in gone.intersection(missing).sorted() {
                log.warning("a peer is gone", metadata: ["peer": "\(peer)"])
                try await driver.appendPersistently(
                    .setPeerStatus(peer, .down(since: max(now, .wallClock()))), logger: log)
            }
            missing = gone
        }
    }
}

/// Others have removed this peer from the cluster.
package struct PeerRemoved: Error, CustomStringConvertible {
    let peer: PeerID

    package var description: String {
        """
        peer \(peer) was removed from the cluster; it stops. Started again, it joins as a new member with \
        what is on its disk
        """
    }
}
