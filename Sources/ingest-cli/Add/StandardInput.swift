import Glibc
import PosixIO
import Synchronization

/// Standard input as a file.
enum StandardInput {
    private static let isGivenUp = Atomic(false)

    static func open() -> FileDescriptor {
        // A pipe gives as much as it holds; a refusal leaves it as it is.
        let setPipeByteCount: Int32 = 1031  // F_SETPIPE_SZ
        _ = fcntl(STDIN_FILENO, setPipeByteCount, 1 << 20)
        return FileDescriptor(owning: dup(STDIN_FILENO), path: "standard input")
    }

    /// Lets go whoever waits for bytes that may never come.
    static func giveUp() { isGivenUp.store(true, ordering: .relaxed) }

    /// Reads until `room` is full or the input ends.
    ///
    /// - Throws: `CancellationError` once it is given up.
    static func fill(
        _ room: UnsafeMutableRawBufferPointer, from file: FileDescriptor
    ) throws -> Int {
        var done = 0
        while done < room.count {
            try waitForBytes(from: file)
            let count = try file.readSome(
                into: UnsafeMutableRawBufferPointer(rebasing: room[done...]))
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Looks up ten times a second.
    private static func waitForBytes(from file: FileDescriptor) throws {
        var one = pollfd(fd: file.number, events: Int16(POLLIN), revents: 0)
        var readyCount: Int32 = 0
        while readyCount == 0 || readyCount < 0 && errno == EINTR {
            if isGivenUp.load(ordering: .relaxed) { throw CancellationError() }
            readyCount = poll(&one, 1, 100)
        }
        // What is wrong with the file, reading it tells.
    }
}
