import Glibc
import Synchronization
import Testing

@testable import PosixIO

@Suite struct PosixThreadTests {
    @Test func threadRunsUnderItsNameAndCanBeJoinedTwice() throws {
        let name = Mutex("")
        let thread = try PosixThread(name: "a-name-that-is-too-long") {
            let contents = (try? FileSystem.loadThreadName()) ?? ""
            name.withLock { $0 = contents }
        }
        thread.join()
        thread.join()
        #expect(name.withLock { $0 } == "a-name-that-is-")
    }
}

extension FileSystem {
    /// The calling thread's name as the kernel has it.
    fileprivate static func loadThreadName() throws -> String {
        let file = try FileDescriptor("/proc/thread-self/comm", for: .read)
        return try withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { bytes in
            let count = try file.readSome(into: bytes)
            return String(decoding: bytes[..<count].dropLast(), as: UTF8.self)
        }
    }
}
