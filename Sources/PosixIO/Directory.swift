import Glibc

/// An open directory whose entries are reached by name, as bytes: names need not be UTF-8, and a
/// directory that is moved meanwhile stays the one that was opened.
package final class Directory: Sendable {
    package let file: FileDescriptor

    package init(_ path: String) throws(IOError) {
        let number = repeatingInterrupted { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard number >= 0 else { throw IOError.current("open directory", path) }
        file = FileDescriptor(owning: number, path: path)
    }

    private init(_ file: FileDescriptor) { self.file = file }

    /// Names of all entries but `.` and `..`, in the order of their bytes.
    package func loadNames() throws(IOError) -> [[UInt8]] {
        // readdir moves the descriptor's position and closedir closes it, so it gets its own.
        let number = repeatingInterrupted {
            openat(file.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        guard number >= 0 else { throw IOError.current("open directory", file.path) }
        guard let stream = fdopendir(number) else {
            defer { close(number) }
            throw IOError.current("list", file.path)
        }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
        }
        guard errno == 0 else { throw IOError.current("list", file.path) }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Status of an entry itself, not of what a symbolic link points to; `nil` if there is none.
    package func loadStatus(_ name: [UInt8]) throws(IOError) -> FileStatus? {
        var status = stat()
        let result = withPath(name) { fstatat(file.number, $0, &status, AT_SYMLINK_NOFOLLOW) }
        guard result == 0 else {
            let error = IOError.current("examine", display(name))
            if error.isNotFound { return nil }
            throw error
        }
        return FileStatus(status)
    }

    /// Opens a file for reading.
    ///
    /// - Parameter followingLinks: Otherwise a symbolic link is an error (ELOOP).
    package func openFile(
        _ name: [UInt8], followingLinks: Bool = false
    ) throws(IOError) -> FileDescriptor {
        // O_NONBLOCK: a FIFO that nobody writes to must not stop us; files do not mind.
        let flags =
            O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (followingLinks ? 0 : O_NOFOLLOW)
        let number = repeatingInterrupted { withPath(name) { openat(file.number, $0, flags) } }
        guard number >= 0 else { throw IOError.current("open", display(name)) }
        return FileDescriptor(owning: number, path: display(name))
    }

    /// Opens a directory in this one.
    ///
    /// - Parameter followingLinks: Otherwise a symbolic link is an error (ENOTDIR or ELOOP).
    package func openDirectory(
        _ name: [UInt8], followingLinks: Bool = false
    ) throws(IOError) -> Directory {
        let flags = O_RDONLY | O_CLOEXEC | O_DIRECTORY | (followingLinks ? 0 : O_NOFOLLOW)
        let number = repeatingInterrupted { withPath(name) { openat(file.number, $0, flags) } }
        guard number >= 0 else { throw IOError.current("open directory", display(name)) }
        return Directory(FileDescriptor(owning: number, path: display(name)))
    }

    /// What a symbolic link says.
    package func loadLinkTarget(_ name: [UInt8]) throws(IOError) -> [UInt8] {
        var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = target.withUnsafeMutableBytes { bytes in
            let room = bytes.assumingMemoryBound(to: CChar.self)
            return withPath(name) { readlinkat(file.number, $0, room.baseAddress!, room.count) }
        }
        guard count >= 0 else { throw IOError.current("read link", display(name)) }
        return Array(target[..<count])
    }

    private func withPath<Result>(
        _ name: [UInt8], _ body: (UnsafePointer<CChar>) -> Result
    ) -> Result {
        precondition(!name.contains(0), "a file name holds no NUL")
        return (name.map(CChar.init(bitPattern:)) + [0]).withUnsafeBufferPointer {
            body($0.baseAddress!)
        }
    }

    private func display(_ name: [UInt8]) -> String {
        "\(file.path)/\(String(decoding: name, as: UTF8.self))"
    }
}
