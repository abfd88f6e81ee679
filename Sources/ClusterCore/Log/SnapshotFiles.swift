import Pinset
import PosixIO
import Synchronization

/// Snapshots of the state at some places in the log, a file each: from one of them on, the archive
/// leads to every later state.
package final class SnapshotFiles: Sendable {
    private static let suffix = ".ndjson"
    /// What is being written, and not a snapshot yet.
    private static let takenName = "taken"
    private static let arrivingName = "arriving"

    private let directory: String
    private let known: Mutex<Set<LogIndex>>
    /// Numbers the names of what is being written.
    private let nextNumber = Mutex(0)

    /// Opens the directory, and removes what was left unfinished.
    package init(dataDirectory: String) throws {
        directory = dataDirectory + "/snapshots"
        try FileSystem.makeDirectory(directory, permissions: 0o700)
        var indices: Set<LogIndex> = []
        for name in try Directory(directory).loadNames().map({ String(decoding: $0, as: UTF8.self) }
        ) {
            if name.hasSuffix(Self.suffix), let number = UInt64(name.dropLast(Self.suffix.count)) {
                indices.insert(LogIndex(rawValue: number))
            } else {
                try FileSystem.removeFile(directory + "/" + name)
            }
        }
        known = Mutex(indices)
    }

    /// The newest snapshot from which an archive that begins after `trimmed` leads to `last`.
    func newest(from trimmed: LogIndex, through last: LogIndex?) throws -> PinsetState? {
        let index = known.withLock { known in
            known.filter { $0 >= trimmed && $0 <= last ?? $0 }.max()
        }
        return try index.map { try StateSnapshot.load(from: path(of: $0)) }
    }

    /// Takes a snapshot of the saved state.
    func take(of store: StateStore) async throws {
        try await writing(unfinishedPath(Self.takenName)) { path in
            try keep(path, at: try await store.saveSnapshot(to: path))
        }
    }

    /// A snapshot of the saved state that is gone when it is closed.
    func takeTransient(of store: StateStore) async throws -> FileDescriptor {
        try await writing(unfinishedPath(Self.takenName)) { path in
            _ = try await store.saveSnapshot(to: path)
            let file = try FileDescriptor(path, for: .read)
            try FileSystem.removeFile(path)
            return file
        }
    }

    /// Takes a snapshot that another peer sends.
    ///
    /// - Parameter body: Writes the file of that name, and keeps it.
    func receive<Result>(_ body: (String) async throws -> Result) async throws -> Result {
        try await writing(unfinishedPath(Self.arrivingName), body)
    }

    /// What could not be finished must not take the space that may have been lacking.
    private func writing<Result>(
        _ path: String, _ body: (String) async throws -> Result
    ) async throws -> Result {
        do {
            return try await body(path)
        } catch {
            // The reason is what matters; what stays is removed at the next start.
            _ = try? FileSystem.removeFile(path)
            throw error
        }
    }

    private func unfinishedPath(_ name: String) -> String {
        let number = nextNumber.withLock { number in
            number += 1
            return number
        }
        return "\(directory)/\(name).\(number)"
    }

    /// Keeps a file that was written whole.
    func keep(_ path: String, at index: LogIndex) throws {
        try FileSystem.rename(path, to: self.path(of: index))
        try FileSystem.synchronizeDirectory(directory)
        known.withLock { _ = $0.insert(index) }
    }

    /// Removes snapshots that an archive which begins after `trimmed` does not continue.
    func removeOld(before trimmed: LogIndex) throws {
        for index in known.withLock({ $0.filter { $0 < trimmed } }) {
            try FileSystem.removeFile(path(of: index))
            known.withLock { _ = $0.remove(index) }
        }
    }

    var newestIndex: LogIndex? { known.withLock { $0.max() } }

    private func path(of index: LogIndex) -> String {
        directory + "/" + String(index.rawValue) + Self.suffix
    }
}
