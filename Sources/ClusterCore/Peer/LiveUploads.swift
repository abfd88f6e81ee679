import ShardPlanner
import Synchronization

/// Uploads that are under way in this process.
final class LiveUploads: Sendable {
    private let uploads = Mutex<Set<UploadID>>([])

    func insert(_ upload: UploadID) { uploads.withLock { _ = $0.insert(upload) } }
    func remove(_ upload: UploadID) { uploads.withLock { _ = $0.remove(upload) } }
    func contains(_ upload: UploadID) -> Bool { uploads.withLock { $0.contains(upload) } }
}
