import ClusterCore
import Foundation
import Logging
import Pinset
import ShardPlanner

/// The uploads of this peer that are resources.
actor OpenUploads {
    /// Uploads that are kept in memory although nobody uses them now.
    private static let idleLimit = 8
    private static let sweepInterval = Duration.seconds(15)
    private static let idlePatience = Duration.seconds(60)

    private let maker: UploadMaker
    /// How long nobody needs to touch an upload before it is aborted.
    private let lease: Duration
    private let metrics: DaemonMetrics
    private var resources: [UploadID: UploadResource] = [:]
    /// Uploads that the state may know already, and `resources` does not.
    private var opening: Set<UploadID> = []
    /// Requests that use a resource, or are about to.
    private var userCounts: [UploadID: Int] = [:]
    /// Uploads that may be in memory, the last used last.
    private var recent: [UploadID] = []

    init(maker: UploadMaker, lease: Duration, metrics: DaemonMetrics) {
        self.maker = maker
        self.lease = lease
        self.metrics = metrics
    }

    /// Opens an upload.
    ///
    /// - Parameter id: One that the state does not have.
    func open(_ opening: UploadOpening, as id: UploadID) async throws -> UploadID {
        guard resources[id] == nil, userCounts[id] == nil else { throw Self.isOpening(id) }
        // In use: its journal is there before the state knows of it.
        enter(id)
        self.opening.insert(id)
        defer {
            self.opening.remove(id)
            leave(id)
        }
        await freeMemory()
        let engine = try await maker.open(id, opening)
        resources[id] = UploadResource(id: id, maker: maker, engine: engine)
        return id
    }

    /// Uses an upload of this peer; whether there is one, its use tells.
    func using<Result: Sendable>(
        _ id: UploadID, _ body: (UploadResource) async throws -> Result
    ) async throws -> Result {
        guard !opening.contains(id) else { throw Self.isOpening(id) }
        let resource = resources[id] ?? UploadResource(id: id, maker: maker)
        resources[id] = resource
        enter(id)
        defer { leave(id) }
        await freeMemory()
        return try await body(resource)
    }

    private static func isOpening(_ id: UploadID) -> Problem {
        Problem(
            .unavailable, "upload \(id) is just being opened; ask again in a moment",
            retryAfterSeconds: 1)
    }

    /// Bytes of an upload that are acknowledged, while that is known without reading its journal.
    func offset(of id: UploadID) async -> Int? { await resources[id]?.offset }

    private func enter(_ id: UploadID) {
        userCounts[id, default: 0] += 1
        recent.removeAll { $0 == id }
        recent.append(id)
    }

    private func leave(_ id: UploadID) {
        userCounts[id, default: 1] -= 1
        if userCounts[id] == 0 { userCounts[id] = nil }
    }

    /// Seconds after which an upload is aborted unless it is touched.
    nonisolated var leaseSeconds: Int64 { lease.components.seconds }

    /// Frees memory, and aborts uploads that nobody has touched for long, until the task is cancelled.
    func sweep() async throws {
        while true {
            await forgetUnused()
            await abortAbandoned()
            try await Task.sleep(for: Self.sweepInterval)
        }
    }

    /// Leaves in memory what is in use, and what was in use last.
    private func freeMemory() async {
        for id in recent.dropLast(Self.idleLimit) where userCounts[id] == nil {
            recent.removeAll { $0 == id }
            await resources[id]?.unload()
        }
    }

    private func forgetUnused() async {
        for (id, resource) in resources {
            if let time = await resource.idleTime, time > Self.idlePatience {
                await resource.unload()
            }
            guard userCounts[id] == nil, await !resource.isInMemory, userCounts[id] == nil else {
                continue
            }
            resources[id] = nil
            recent.removeAll { $0 == id }
        }
    }

    private func abortAbandoned() async {
        for id in maker.peer.journals.uploads where userCounts[id] == nil {
            do {
                switch try await maker.state(of: id) {
                case .open(let untouched) where untouched > lease:
                    maker.log.notice("aborting an abandoned upload", metadata: ["upload": "\(id)"])
                    try await using(id) {
                        try await $0.abort(
                            reason: "nobody has sent anything for \(leaseSeconds) s")
                    }
                    metrics.uploadAbandoned()
                case .open, .ended: break
                case .forgotten: try await maker.forget(id)
                }
            } catch {
                maker.log.warning(
                    "an abandoned upload could not be aborted; it is tried again",
                    metadata: ["upload": "\(id)", "error": "\(error)"])
            }
        }
    }
}
