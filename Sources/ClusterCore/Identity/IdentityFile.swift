import Glibc
import PosixIO

/// Small files of a data directory that are written once, whole or not at all, and never again.
struct IdentityFile {
    var directory: String
    var name: String

    var path: String { directory + "/" + name }

    /// No identity file is longer; more is damage.
    private static let byteLimit = 4_096

    /// Creates the file with this content, durably, and never over another one.
    ///
    /// The content goes to a file beside it, is synced and then linked to its name, so a crash leaves
    /// the whole file or none of that name.
    func create(_ bytes: [UInt8], permissions: mode_t) throws(IdentityError) {
        let draft = path + FileSystem.unfinishedSuffix
        do throws(IOError) {
            // Of a crashed attempt: it was never linked, so nobody relies on its content.
            try FileSystem.removeFile(draft)
            let file = try FileDescriptor(draft, for: .create, permissions: permissions)
            // A draft that stays behind is removed by the next attempt.
            defer { _ = try? FileSystem.removeFile(draft) }
            try file.writeAll(bytes, at: 0)
            try file.synchronize()
            try FileSystem.link(draft, as: path)
            try FileSystem.synchronizeDirectory(directory)
        } catch {
            throw error.isAlreadyThere ? .exists(path: path) : .io(error)
        }
    }

    /// Reads the whole file.
    ///
    /// - Parameter isSecret: Nobody but the owner may be able to read it.
    func load(isSecret: Bool) throws(IdentityError) -> [UInt8] {
        let status: FileStatus
        let bytes: [UInt8]
        do throws(IOError) {
            let file = try FileDescriptor(path, for: .read)
            status = try file.loadStatus()
            bytes = try file.readAll(count: min(status.byteCount, Self.byteLimit), at: 0)
        } catch {
            throw error.isNotFound ? .missing(path: path) : .io(error)
        }
        guard !isSecret || status.permissions & 0o077 == 0 else {
            throw .readableByOthers(path: path, permissions: status.permissions)
        }
        guard status.byteCount <= Self.byteLimit else {
            throw .malformed(path: path, finding: "it is longer than \(Self.byteLimit) bytes")
        }
        return bytes
    }
}
