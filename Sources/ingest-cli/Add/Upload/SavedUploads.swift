import Glibc
import IngestAPI
import Multiformats
import PosixIO

/// An upload that is open at a service, as this machine remembers it.
struct SavedUpload: Codable {
    var upload: String
    /// Makes the same form again.
    var seed: [UInt64]
    var bodyByteCount: UInt64
    var fingerprints: [UInt64]
}

/// Remembers uploads that are open, one directory for each source with its options and service, below
/// `$XDG_STATE_HOME/ingest-cli/uploads`. One process at a time has such a directory.
final class SavedUploads {
    private let directory: String
    private let lock: DirectoryLock
    private var path: String { directory + "/upload.json" }

    /// - Parameter words: What makes two adds the same.
    /// - Throws: `CommandOutcome` when another process is at the same add; `IOError` when nothing can be
    ///   remembered here.
    init(_ words: [String]) throws {
        guard
            let home = environment("XDG_STATE_HOME")
                ?? environment("HOME").map({ $0 + "/.local/state" })
        else { throw IOError("find", "a home directory", .system(ENOENT)) }
        var bytes: [UInt8] = []
        for word in words { bytes.appendRun(Array(word.utf8)) }
        let digest = try bytes.withUnsafeBytes { try BlockHasher(.sha2_256).digest($0) }
        let name = digest[..<16].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        directory = "\(home)/ingest-cli/uploads/\(name)"
        try FileSystem.makeDirectory(directory, permissions: 0o700)
        do {
            lock = try DirectoryLock(directory)
        } catch .held(_, let process) {
            throw CommandOutcome(
                .local,
                "\(process.map { "process \($0)" } ?? "another process") is adding the same; wait for "
                    + "it, or add once more beside it with --resume never")
        } catch .failed(let error) {
            throw error
        }
    }

    /// - Returns: `nil` when none is open, or when what is there is not ours.
    func load() throws -> SavedUpload? {
        guard try FileSystem.loadStatus(path) != nil else { return nil }
        // Written by another version: nothing to go on from.
        return try? JSONBody.decode(
            SavedUpload.self, from: FileSystem.loadFile(path, byteLimit: 1 << 30))
    }

    func save(_ upload: SavedUpload) throws {
        try FileSystem.saveFile(path, try JSONBody.encode(upload), permissions: 0o600)
    }

    /// There is nothing to go on with any more.
    func remove() throws {
        guard try FileSystem.loadStatus(directory) != nil else { return }
        try FileSystem.removeFile(path)
        try FileSystem.removeFile(directory + "/lock")
        do {
            try FileSystem.removeDirectory(directory)
        } catch  where error.isAlreadyThere {
            // NFS keeps what is open under another name; this directory is used again for the same source.
        }
    }
}
