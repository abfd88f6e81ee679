import Glibc

/// Small files that are written once, whole or not at all, and never again.
enum IdentityFile {
    /// No identity file is longer; more is damage.
    private static let byteLimit = 4_096

    /// Creates a file with this content and mode, durably, and never over another one.
    ///
    /// The content goes to a file beside it, is synced and then linked to its name, so a crash leaves
    /// the whole file or none of that name.
    static func create(_ path: String, _ bytes: [UInt8], mode: UInt32) throws(IdentityError) {
        let draft = path + ".new"
        // A draft of a crashed attempt: it was never linked, so nobody knows its content.
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure(draft, "creation") }
        defer {
            close(descriptor)
            unlink(draft)
        }
        guard fchmod(descriptor, mode) == 0 else { throw failure(draft, "chmod") }
        guard write(descriptor, bytes, bytes.count) == bytes.count else {
            throw failure(draft, "write")
        }
        guard fsync(descriptor) == 0 else { throw failure(draft, "sync") }
        guard link(draft, path) == 0 else {
            throw errno == EEXIST ? .exists(path: path) : failure(path, "creation")
        }
        try synchronizeDirectory(of: path)
    }

    /// Reads a whole file.
    ///
    /// - Parameter isSecret: Nobody but the owner may be able to read it.
    static func read(_ path: String, isSecret: Bool) throws(IdentityError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw errno == ENOENT ? .missing(path: path) : failure(path, "opening")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(path, "reading") }
        let permissions = status.st_mode & 0o777
        guard !isSecret || permissions & 0o077 == 0 else {
            throw .readableByOthers(path: path, mode: permissions)
        }
        var bytes = [UInt8](repeating: 0, count: byteLimit + 1)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw failure(path, "reading") }
        guard count <= byteLimit else {
            throw .malformed(path: path, finding: "it is longer than \(byteLimit) bytes")
        }
        return Array(bytes.prefix(count))
    }

    private static func synchronizeDirectory(of path: String) throws(IdentityError) {
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(directory, "opening") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(directory, "sync") }
    }

    private static func failure(_ path: String, _ operation: String) -> IdentityError {
        .io(path: path, operation: operation, cause: String(cString: strerror(errno)))
    }
}
