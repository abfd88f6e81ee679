import CShims
import Glibc
import Spill

/// An open file, closed when the last reference goes.
///
/// Any thread may use it; calls with an offset do not disturb one another. All files are opened
/// with `O_CLOEXEC`. Every call is repeated when a signal interrupts it.
package final class FileDescriptor: Sendable {
    /// What to open a file for.
    package enum Access: Sendable {
        /// Reading a file that exists.
        case read
        /// Reading and writing a file that exists.
        case update
        /// Reading and writing a new file; one that exists is an error.
        case create
        /// Reading and writing a file that is made if it does not exist.
        case createOrUpdate
        /// As `createOrUpdate`, and writes without an offset go to the end.
        case append
    }

    /// The number the system calls take; valid as long as this object is.
    package let number: Int32
    /// The name it was opened by, for messages.
    package let path: String

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - isDirect: Read and write past the page cache, where the file system can do that.
    ///     Addresses, offsets and lengths must be multiples of 4096 to stay direct.
    ///   - permissions: Of a file that is made.
    package init(
        _ path: String, for access: Access, isDirect: Bool = false, permissions: mode_t = 0o644,
        file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        let flags =
            switch access {
            case .read: O_RDONLY
            case .update: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .createOrUpdate: O_RDWR | O_CREAT
            case .append: O_RDWR | O_CREAT | O_APPEND
            }
        func open() -> Int32 {
            repeatingInterrupted { Glibc.open(path, flags | O_CLOEXEC, permissions) }
        }
        // Which of these makes a file, only the file system knows.
        number =
            flags & O_CREAT == 0
            ? open()
            : try DiskSeam.perform(.create, path, file: file, line: line) { () throws(IOError) in
                open()
            }
        self.path = path
        guard number >= 0 else {
            throw IOError.current(access == .create ? "create" : "open", path)
        }
        // Set after opening: open(2) with O_DIRECT may leave a file behind where it fails.
        if isDirect { setDirect(true) }
    }

    /// Takes over an open descriptor.
    package init(owning number: Int32, path: String) {
        self.number = number
        self.path = path
    }

    /// Makes a file without a name, which is gone when it is closed.
    ///
    /// - Parameter directory: Decides the file system.
    package static func unnamed(in directory: String) throws(IOError) -> FileDescriptor {
        let name = "\(directory)/(unnamed)"
        let number = repeatingInterrupted {
            open(directory, cshims_o_tmpfile() | O_RDWR | O_CLOEXEC, 0o600)
        }
        if number >= 0 { return FileDescriptor(owning: number, path: name) }
        guard [EOPNOTSUPP, EISDIR, EINVAL].contains(errno) else {
            throw IOError.current("create", name)
        }
        var template = Array("\(directory)/scratch-XXXXXX".utf8CString)
        let created = mkstemp(&template)
        guard created >= 0 else { throw IOError.current("create", name) }
        _ = fcntl(created, F_SETFD, FD_CLOEXEC)
        unlink(template)
        return FileDescriptor(owning: created, path: name)
    }

    /// Opens the same file once more for reading, whatever its name is by now.
    ///
    /// - Parameter isDirect: As when a file is opened by its name.
    package func reopen(isDirect: Bool) throws(IOError) -> FileDescriptor {
        let again = repeatingInterrupted { open("/proc/self/fd/\(number)", O_RDONLY | O_CLOEXEC) }
        guard again >= 0 else { throw IOError.current("open again", path) }
        let file = FileDescriptor(owning: again, path: path)
        if isDirect { file.setDirect(true) }
        return file
    }

    deinit { if number >= 0 { close(number) } }

    /// Whether reads and writes go past the page cache.
    package var isDirect: Bool { fcntl(number, F_GETFL) & cshims_o_direct() != 0 }

    /// Switches direct I/O, as far as the file system can.
    private func setDirect(_ isDirect: Bool) {
        let flags = fcntl(number, F_GETFL)
        // A refusal leaves ordinary I/O, which is the fallback.
        _ = fcntl(
            number, F_SETFL, isDirect ? flags | cshims_o_direct() : flags & ~cshims_o_direct())
    }
}

extension FileDescriptor: PositionedReader {
    /// Fills `bytes` from `offset` on; an early end of the file is an error.
    package func readAll(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(IOError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
            let count = try readSome(into: rest, at: offset + done)
            guard count > 0 else {
                throw IOError(
                    "read", path,
                    .endOfFile(offset: offset + done, missingByteCount: bytes.count - done))
            }
            done += count
        }
    }

    /// Exactly `count` bytes from `offset` on.
    package func readAll(count: Int, at offset: Int) throws(IOError) -> [UInt8] {
        var contents = [UInt8](repeating: 0, count: count)
        var failure: IOError?
        // The standard library's closures are not typed: the error takes the way round.
        contents.withUnsafeMutableBytes { bytes in
            do throws(IOError) { try readAll(into: bytes, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
        return contents
    }

    /// Reads what there is at `offset`, up to the room in `bytes`; 0 at the end of the file.
    ///
    /// On a direct descriptor, a read that the file system refuses as direct, and all after it, go
    /// through the page cache.
    package func readSome(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(IOError) -> Int {
        while true {
            let count = repeatingInterrupted {
                pread(number, bytes.baseAddress, bytes.count, offset)
            }
            if count >= 0 { return count }
            guard errno == EINVAL, isDirect else { throw IOError.current("read", path) }
            setDirect(false)
        }
    }

    /// Reads on from where the last such read ended; 0 at the end of the file.
    package func readSome(into bytes: UnsafeMutableRawBufferPointer) throws(IOError) -> Int {
        let count = repeatingInterrupted { Glibc.read(number, bytes.baseAddress, bytes.count) }
        guard count >= 0 else { throw IOError.current("read", path) }
        return count
    }

    package func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
        guard let offset = Int(exactly: offset) else {
            throw IOError("read", path, .system(EINVAL))
        }
        try readAll(into: bytes, at: offset)
    }
}

extension FileDescriptor {
    /// Writes all of `bytes` at `offset`.
    ///
    /// On a direct descriptor, a write that the file system refuses as direct, and all after it, go
    /// through the page cache.
    package func writeAll(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, file: DebugText = #fileID,
        line: DebugNumber = #line
    ) throws(IOError) {
        try write(bytes, at: offset, file: file, line: line) { rest, done in
            pwrite(number, rest.baseAddress, rest.count, offset + done)
        }
    }

    /// Writes all of `bytes` where the last such write ended, or at the end of the file if it was
    /// opened for appending.
    package func writeAll(
        _ bytes: UnsafeRawBufferPointer, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try write(bytes, at: nil, file: file, line: line) { rest, _ in
            Glibc.write(number, rest.baseAddress, rest.count)
        }
    }

    /// Writes all of `bytes` at `offset`.
    package func writeAll(
        _ bytes: [UInt8], at offset: Int, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        var failure: IOError?
        bytes.withUnsafeBytes { bytes in
            do throws(IOError) {
                try writeAll(bytes, at: offset, file: file, line: line)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// - Parameter offset: `nil` for the end of the file.
    private func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int?, file: DebugText, line: DebugNumber,
        _ call: (UnsafeRawBufferPointer, Int) -> Int
    ) throws(IOError) {
        var done = 0
        while done < bytes.count {
            let granted = DiskSeam.granted(bytes.count - done, path)
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done..<done + granted])
            let start = (offset ?? Int.max - bytes.count) + done
            let count = try DiskSeam.perform(
                .write, path, number: number, range: start..<start + granted, file: file, line: line
            ) { () throws(IOError) in
                repeatingInterrupted { call(rest, done) }
            }
            if count > 0 {
                done += count
            } else if count < 0, errno == EINVAL, isDirect {
                setDirect(false)
            } else {
                // A count of 0 sets no errno; Linux returns it for no regular file.
                throw IOError("write", path, .system(count < 0 ? errno : EIO))
            }
        }
    }

    /// Waits until the file's bytes and length are on the disk.
    package func synchronizeData(
        file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try DiskSeam.perform(
            .synchronize, path, number: number, file: file, line: line
        ) { () throws(IOError) in
            guard repeatingInterrupted({ fdatasync(number) }) == 0 else {
                throw IOError.current("synchronize", path)
            }
        }
    }

    /// Waits until the file's bytes and all its attributes are on the disk.
    package func synchronize(
        file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try DiskSeam.perform(
            .synchronize, path, number: number, file: file, line: line
        ) { () throws(IOError) in
            guard repeatingInterrupted({ fsync(number) }) == 0 else {
                throw IOError.current("synchronize", path)
            }
        }
    }

    /// Cuts the file, or extends it with zeros.
    package func truncate(
        to byteCount: Int, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        try DiskSeam.perform(
            .truncate, path, number: number, range: byteCount..<Int.max, file: file, line: line
        ) { () throws(IOError) in
            guard repeatingInterrupted({ ftruncate(number, byteCount) }) == 0 else {
                throw IOError.current("truncate", path)
            }
        }
    }

    /// Reserves disk space for a range of the file and extends the file to it.
    ///
    /// File systems that cannot do that do nothing; a full one throws.
    package func preallocate(
        _ range: Range<Int>, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        guard !range.isEmpty else { return }
        let code = try DiskSeam.perform(
            .preallocate, path, number: number, range: range.upperBound..<range.upperBound,
            file: file, line: line
        ) { () throws(IOError) in
            var code: Int32
            repeat {
                code = cshims_fallocate(number, range.lowerBound, range.count)
            } while code == EINTR
            return code
        }
        guard code == 0 || code == EOPNOTSUPP || code == ENOSYS else {
            throw IOError("preallocate", path, .system(code))
        }
    }

    /// Length of the file.
    package func loadByteCount() throws(IOError) -> Int { try loadStatus().byteCount }

    package func loadStatus() throws(IOError) -> FileStatus {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw IOError.current("examine", path) }
        return FileStatus(status)
    }

    /// Gives the unnamed file a name in the same file system; one that is taken is an error.
    ///
    /// Only for files of `unnamed(in:)`, and only where the file system has unnamed files.
    package func link(
        as path: String, file: DebugText = #fileID, line: DebugNumber = #line
    ) throws(IOError) {
        let code = try DiskSeam.perform(.link, path, file: file, line: line) { () throws(IOError) in
            cshims_link_unnamed(number, path)
        }
        guard code == 0 else { throw IOError("link", path, .system(code)) }
    }
}

/// Repeats a system call for as long as signals interrupt it.
func repeatingInterrupted<Result: FixedWidthInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}
