import Pinset

/// Ends what ends with time: pins that expire, and the memory of uploads that ended long ago.
///
/// Nothing in the state ends by a clock, so a peer has to say that it is time, by its own clock. One
/// peer does it for all, the first that is up.
package struct Housekeeper: Sendable {
    /// Time between two looks; most that a pin outlives its time.
    private static let interval = Duration.seconds(15)
    /// How long clients may ask what became of an upload, in milliseconds.
    private static let uploadMemory: UInt64 = 7 * 24 * 3600 * 1000
    /// Of how many uploads at most: each takes about 1 KiB of every peer's memory.
    private static let rememberedUploadCount = 50_000

    private let peer: LocalPeer

    package init(peer: LocalPeer) {
        self.peer = peer
    }

    /// Looks until the task is cancelled.
    package func run() async throws {
        while true {
            do {
                try await look(at: .wallClock())
            } catch let error as CancellationError {
                throw error
            } catch {
                peer.log.warning(
                    "expired pins and old uploads stay for now; it is tried again",
                    metadata: ["error": "\(error)"])
            }
            try await Task.sleep(for: Self.interval)
        }
    }

    private func look(at time: LogTime) async throws {
        let now = time.millisecondsSinceEpoch
        let past = LogTime(millisecondsSinceEpoch: now - min(now, Self.uploadMemory))
        let (mustExpire, end) = try await peer.driver.read { [id = peer.id] state in
            guard state.firstPeerUp == id else { return (false, LogTime?.none) }
            return (
                state.hasPins(expiringBy: time),
                state.endOfUploadsToForget(
                    endedBefore: past, keeping: Self.rememberedUploadCount)
            )
        }
        if mustExpire, case .unpinned(let removed) = try await peer.perform(.expirePins(at: time)) {
            peer.log.notice(
                "pins have expired",
                metadata: [
                    "roots": "\(removed.rootCount)", "shards": "\(removed.droppedShardCount)",
                    "bytes": "\(removed.droppedByteCount)",
                ])
        }
        if let end { try await peer.perform(.forgetEndedUploads(endedBefore: end)) }
    }
}
