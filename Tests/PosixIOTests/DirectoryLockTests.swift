import Glibc
import Testing

@testable import PosixIO

@Suite struct DirectoryLockTests {
    private let directory = TemporaryDirectory()

    @Test func secondHolderIsRefusedAndToldWhoHasIt() throws {
        let lock = try DirectoryLock(directory.path)
        let error = try #require(throws: DirectoryLockError.self) {
            _ = try DirectoryLock(directory.path)
        }
        #expect(error == .held(directory: directory.path, processID: getpid()))
        #expect(error.description.contains("in use by process \(getpid())"))
        withExtendedLifetime(lock) {}
    }

    @Test func releasedLockCanBeTakenAgain() throws {
        var lock: DirectoryLock? = try DirectoryLock(directory.path)
        #expect(lock != nil)
        lock = nil
        _ = try DirectoryLock(directory.path)
    }

    @Test func holderThatIsJustStartingHasNoNumberYet() throws {
        let lock = try DirectoryLock(directory.path)
        try FileDescriptor(directory.file("lock"), for: .update).truncate(to: 0)
        #expect(throws: DirectoryLockError.held(directory: directory.path, processID: nil)) {
            _ = try DirectoryLock(directory.path)
        }
        withExtendedLifetime(lock) {}
    }

    @Test func missingDirectoryIsAnError() {
        #expect(throws: DirectoryLockError.self) {
            _ = try DirectoryLock(directory.file("absent"))
        }
    }
}
