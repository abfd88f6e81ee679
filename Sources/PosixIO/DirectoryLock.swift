import Glibc

/// Why a directory could not be locked.
package enum DirectoryLockError: Error, Equatable, CustomStringConvertible {
    /// Another process, or this one a second time, uses the directory.
    case held(directory: String, processID: Int32?)
    case failed(IOError)

    package var description: String {
        switch self {
        case .held(let directory, let processID):
            "\(directory) is in use by \(processID.map { "process \($0)" } ?? "another process");"
                + " stop that process, or choose another directory"
        case .failed(let error):
            error.description
        }
    }
}

/// Keeps other processes out of a directory until it is released or the process ends.
///
/// An advisory `flock` on a file named `lock`, which holds the process ID for people to read.
package final class DirectoryLock: Sendable {
    private let file: FileDescriptor

    package init(
        _ directory: String, file source: DebugText = #fileID, line: DebugNumber = #line
    ) throws(DirectoryLockError) {
        do throws(IOError) {
            file = try FileDescriptor(
                "\(directory)/lock", for: .createOrUpdate, file: source, line: line)
        } catch {
            throw .failed(error)
        }
        let number = file.number
        if repeatingInterrupted({ flock(number, LOCK_EX | LOCK_NB) }) != 0 {
            let error = IOError.current("lock", file.path)
            guard error.code == EWOULDBLOCK else { throw .failed(error) }
            throw .held(directory: directory, processID: DirectoryLock.loadProcessID(file))
        }
        do throws(IOError) {
            try file.truncate(to: 0, file: source, line: line)
            try file.writeAll(
                Array("\(getpid())\n".utf8), at: 0, file: source, line: line)
        } catch {
            throw .failed(error)
        }
    }

    private static func loadProcessID(_ file: FileDescriptor) -> Int32? {
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { bytes in
            // Only for the message: the holder may be just writing it.
            let count = (try? file.readSome(into: bytes, at: 0)) ?? 0
            let text = String(decoding: bytes[..<count], as: UTF8.self)
            return text.split(separator: "\n").first.flatMap { Int32($0) }
        }
    }
}
