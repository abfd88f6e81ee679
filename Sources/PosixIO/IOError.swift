import Glibc

/// A system call on a file that failed.
package struct IOError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Cause: Equatable, Sendable {
        /// The value of `errno`.
        case system(Int32)
        /// A file holds fewer bytes than its reader relies on.
        case endOfFile(offset: Int, missingByteCount: Int)
    }

    /// What was tried, as a verb: `write`, `rename`.
    package let operation: String
    /// The file, as far as it has a name.
    package let path: String
    package let cause: Cause

    package init(_ operation: String, _ path: String, _ cause: Cause) {
        self.operation = operation
        self.path = path
        self.cause = cause
    }

    /// Reads `errno`; to be called right after the failed call.
    package static func current(_ operation: String, _ path: String) -> IOError {
        IOError(operation, path, .system(errno))
    }

    /// The value of `errno`, `nil` if no call failed.
    package var code: Int32? {
        if case .system(let code) = cause { code } else { nil }
    }

    /// The disk or the user's quota is full.
    package var isNoSpace: Bool { code == ENOSPC || code == EDQUOT }

    /// There is nothing of that name, or something of another kind than was looked for.
    package var isAboutKind: Bool {
        isNotFound || [ELOOP, EISDIR, EINVAL, ESPIPE, ENXIO].contains(code)
    }

    package var isNotFound: Bool { code == ENOENT || code == ENOTDIR }

    /// What is on the disk cannot be read, however often it is tried.
    package var isDamage: Bool {
        if case .endOfFile = cause { return true }
        return code == EIO || code == EBADMSG || code == EUCLEAN
    }

    package var isAlreadyThere: Bool { code == EEXIST || code == ENOTEMPTY }

    package var description: String {
        switch cause {
        case .system(let code):
            "cannot \(operation) \(path): \(String(cString: strerror(code)))\(advice(for: code))"
        case .endOfFile(let offset, let missingByteCount):
            "cannot \(operation) \(path): it ends \(missingByteCount) bytes too early, at byte"
                + " \(offset); the file was cut short, restore or rebuild it"
        }
    }

    private func advice(for code: Int32) -> String {
        switch code {
        case ENOSPC: "; free some space on that file system"
        case EDQUOT: "; free some space or raise the quota"
        case EMFILE: "; raise the limit of open files (ulimit -n)"
        case ENFILE: "; raise the system's limit of open files (fs.file-max)"
        case EACCES, EPERM: "; check the owner and mode of the file and of its directories"
        case EROFS: "; remount the file system for writing"
        case EIO: "; check the disk and the kernel log"
        default: ""
        }
    }
}
