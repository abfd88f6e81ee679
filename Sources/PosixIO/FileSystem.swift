import Glibc

/// What the file system knows about a file.
package struct FileStatus: Equatable, Sendable {
    package enum Kind: Sendable {
        case file, directory, symbolicLink, other
    }

    package let kind: Kind
    package let byteCount: Int
    /// Bytes of disk space in use.
    package let allocatedByteCount: Int
    /// Permission bits, at most 0o7777.
    package let permissions: UInt32
    /// Time of the last change of contents, since 1970.
    package let modifiedSeconds: Int64
    package let modifiedNanoseconds: UInt32
    /// Device and inode: equal for two names of one file.
    package let device: UInt64
    package let inode: UInt64

    init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .symbolicLink
            default: .other
            }
        byteCount = Int(status.st_size)
        allocatedByteCount = Int(status.st_blocks) * 512
        permissions = UInt32(status.st_mode) & 0o7777
        modifiedSeconds = Int64(status.st_mtim.tv_sec)
        modifiedNanoseconds = UInt32(status.st_mtim.tv_nsec)
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}

/// Space of a file system, as an ordinary user may use it.
package struct FileSystemSpace: Equatable, Sendable {
    package let totalByteCount: Int
    package let freeByteCount: Int
}

/// Calls that take a path.
package enum FileSystem {
    /// - Returns: `nil` if there is nothing of that name.
    package static func loadStatus(
        _ path: String, followingLinks: Bool = true
    ) throws(IOError) -> FileStatus? {
        var status = stat()
        guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else {
            let error = IOError.current("examine", path)
            if error.isNotFound { return nil }
            throw error
        }
        return FileStatus(status)
    }

    /// Makes a directory and those above it, as far as they do not exist.
    ///
    /// - Parameter isDurable: What is made survives a power cut; otherwise only once the directory
    ///   around it is synchronised.
    package static func makeDirectory(
        _ path: String, permissions: mode_t = 0o755, isDurable: Bool = true,
        file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        let parent = directory(of: path)
        if try loadStatus(parent) == nil, parent != path {
            try makeDirectory(
                parent, permissions: permissions, isDurable: isDurable, file: file, line: line)
        }
        guard try makeOne(path, permissions, file, line) else {
            let error = IOError.current("create directory", path)
            if error.code == EEXIST, try loadStatus(path)?.kind == .directory { return }
            throw error
        }
        if isDurable { try synchronizeDirectory(parent, file: file, line: line) }
    }

    /// Makes a directory unless it exists, and makes the names in it durable: a process that was killed may
    /// have given some that a power cut would take back.
    package static func takeOverDirectory(
        _ path: String, permissions: mode_t = 0o755, file: DebugText = #fileID,
        line: DebugNumber = #line
    ) throws(IOError) {
        try makeDirectory(path, permissions: permissions, file: file, line: line)
        try synchronizeDirectory(path, file: file, line: line)
    }

    private static func makeOne(
        _ path: String, _ permissions: mode_t, _ file: DebugText, _ line: DebugNumber
    ) throws(IOError) -> Bool {
        // Most are there already, and asking changes nothing.
        var status = stat()
        if stat(path, &status) == 0 {
            errno = EEXIST
            return false
        }
        return try DiskSeam.perform(
            .makeDirectory, path, file: file, line: line
        ) { () throws(IOError) in
            mkdir(path, permissions) == 0
        }
    }

    /// Gives a file another name in the same file system, replacing what has it.
    ///
    /// Survives a power cut only after `synchronizeDirectory` of the new name's directory.
    package static func rename(
        _ path: String, to newPath: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try DiskSeam.perform(
            .rename, newPath, former: path, file: file, line: line
        ) { () throws(IOError) in
            guard Glibc.rename(path, newPath) == 0 else {
                throw IOError.current("rename to \(newPath)", path)
            }
        }
    }

    /// Gives a file a further name in the same file system; one that is taken is an error.
    package static func link(
        _ path: String, as newPath: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try DiskSeam.perform(.link, newPath, file: file, line: line) { () throws(IOError) in
            guard Glibc.link(path, newPath) == 0 else { throw IOError.current("create", newPath) }
        }
    }

    /// Removes a file's name.
    ///
    /// - Returns: Whether it was there.
    @discardableResult
    package static func removeFile(
        _ path: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) -> Bool {
        let isGone = try DiskSeam.perform(
            .remove, path, file: file, line: line
        ) { () throws(IOError) in
            unlink(path) == 0
        }
        if isGone { return true }
        let error = IOError.current("remove", path)
        guard error.isNotFound else { throw error }
        return false
    }

    /// Removes an empty directory.
    package static func removeDirectory(
        _ path: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try DiskSeam.perform(.removeDirectory, path, file: file, line: line) { () throws(IOError) in
            guard rmdir(path) == 0 else { throw IOError.current("remove directory", path) }
        }
    }

    /// Removes a file, or a directory with all that is in it. Others may remove of it at the same time.
    package static func removeTree(
        _ path: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        do throws(IOError) {
            guard let status = try loadStatus(path, followingLinks: false) else { return }
            guard status.kind == .directory else {
                try removeFile(path, file: file, line: line)
                return
            }
            for name in try Directory(path).loadNames() {
                try removeTree(
                    path + "/" + String(decoding: name, as: UTF8.self), file: file, line: line)
            }
            try removeDirectory(path, file: file, line: line)
        } catch {
            guard error.isNotFound else { throw error }
        }
    }

    /// Waits until names made, changed and removed in a directory are on the disk.
    package static func synchronizeDirectory(
        _ path: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        let number = repeatingInterrupted { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard number >= 0 else { throw IOError.current("open directory", path) }
        try FileDescriptor(owning: number, path: path).synchronize(file: file, line: line)
    }

    /// Space of the file system that holds `path`.
    package static func loadSpace(_ path: String) throws(IOError) -> FileSystemSpace {
        var space = statvfs()
        guard statvfs(path, &space) == 0 else { throw IOError.current("measure", path) }
        let blockByteCount = Int(space.f_frsize)
        return FileSystemSpace(
            totalByteCount: Int(space.f_blocks) * blockByteCount,
            freeByteCount: Int(space.f_bavail) * blockByteCount)
    }

    /// All bytes of a small file.
    ///
    /// - Parameter byteLimit: A longer file is an error (EFBIG).
    package static func loadFile(
        _ path: String, byteLimit: Int = 16 << 20
    ) throws(IOError) -> [UInt8] {
        let file = try FileDescriptor(path, for: .read)
        let byteCount = try file.loadByteCount()
        guard byteCount <= byteLimit else { throw IOError("read", path, .system(EFBIG)) }
        return try file.readAll(count: byteCount, at: 0)
    }

    /// What `saveFile` adds to the name of a file that is not in its place yet. A process that is
    /// killed leaves it behind.
    package static let unfinishedSuffix = ".new"

    /// Puts a small file in place, at once and for good: another file, fsync, rename, fsync of the
    /// directory.
    package static func saveFile(
        _ path: String, _ contents: [UInt8], permissions: mode_t = 0o644,
        file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        let temporary = path + unfinishedSuffix
        try removeFile(temporary, file: file, line: line)
        do throws(IOError) {
            let new = try FileDescriptor(
                temporary, for: .create, permissions: permissions, file: file, line: line)
            try new.writeAll(contents, at: 0, file: file, line: line)
            try new.synchronize(file: file, line: line)
            try rename(temporary, to: path, file: file, line: line)
        } catch {
            // What stays of it is removed by the next attempt.
            _ = try? removeFile(temporary, file: file, line: line)
            throw error
        }
        try synchronizeDirectory(directory(of: path), file: file, line: line)
    }

    /// The part before the last slash, `.` if there is none.
    package static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
