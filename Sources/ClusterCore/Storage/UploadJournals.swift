import PosixIO
import ShardPlanner
import Synchronization

/// The journals of this peer's uploads that can go on in another process: `uploads/<upload>.journal`. Those
/// of committed uploads stay, short, as long as the state remembers the upload.
package final class UploadJournals: Sendable {
    private static let suffix = ".journal"

    private let directory: String
    private let known: Mutex<Set<UploadID>>

    package init(dataDirectory: String) throws {
        directory = dataDirectory + "/uploads"
        try FileSystem.takeOverDirectory(directory, permissions: 0o700)
        var found: Set<UploadID> = []
        for name in try Directory(directory).loadNames() {
            let text = String(decoding: name, as: UTF8.self)
            if text.hasSuffix(Self.suffix + FileSystem.unfinishedSuffix) {
                try FileSystem.removeFile(directory + "/" + text)
            } else if text.hasSuffix(Self.suffix),
                let upload = UploadID(text.dropLast(Self.suffix.count))
            {
                found.insert(upload)
            }
        }
        known = Mutex(found)
    }

    /// Uploads that have a journal.
    package var uploads: Set<UploadID> { known.withLock { $0 } }

    package func path(of upload: UploadID) -> String {
        directory + "/\(upload)" + Self.suffix
    }

    /// Makes a journal.
    package func create(_ upload: UploadID, opening: [UInt8]) throws -> UploadJournal {
        let journal = try UploadJournal.create(path(of: upload), opening: opening)
        known.withLock { _ = $0.insert(upload) }
        return journal
    }

    package func remove(_ upload: UploadID) throws {
        try UploadJournal.remove(path(of: upload))
        known.withLock { _ = $0.remove(upload) }
    }
}
