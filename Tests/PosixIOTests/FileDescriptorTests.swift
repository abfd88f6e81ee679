import Glibc
import Testing

@testable import PosixIO

@Suite struct FileDescriptorTests {
    private let directory = TemporaryDirectory()

    @Test func whatWasWrittenIsReadBack() throws {
        let path = directory.file("a")
        let file = try FileDescriptor(path, for: .create)
        try file.writeAll(Array("world".utf8), at: 6)
        try file.writeAll(Array("hello ".utf8), at: 0)
        try file.synchronizeData()
        #expect(try file.readAll(count: 11, at: 0) == Array("hello world".utf8))
        #expect(try FileSystem.loadFile(path) == Array("hello world".utf8))
        try file.truncate(to: 5)
        #expect(try file.loadByteCount() == 5)
    }

    @Test func creatingWhatExistsIsRefused() throws {
        let path = directory.file("a")
        _ = try FileDescriptor(path, for: .create)
        #expect(throws: IOError("create", path, .system(EEXIST))) {
            _ = try FileDescriptor(path, for: .create)
        }
    }

    @Test func missingFileIsNamedWithTheReason() throws {
        let path = directory.file("absent")
        let error = try #require(throws: IOError.self) {
            _ = try FileDescriptor(path, for: .read)
        }
        #expect(error.isNotFound)
        #expect(error.description == "cannot open \(path): No such file or directory")
    }

    @Test func shortFileIsAnErrorThatSaysWhereItEnds() throws {
        let file = try FileDescriptor(directory.file("a"), for: .create)
        try file.writeAll([1, 2, 3], at: 0)
        let error = try #require(throws: IOError.self) { try file.readAll(count: 10, at: 1) }
        #expect(error.cause == .endOfFile(offset: 3, missingByteCount: 8))
        #expect(error.code == nil)
    }

    @Test func appendingGoesToTheEnd() throws {
        let path = directory.file("log")
        for text in ["one ", "two"] {
            let file = try FileDescriptor(path, for: .append)
            Array(text.utf8).withUnsafeBytes { bytes in
                #expect(throws: Never.self) { try file.writeAll(bytes) }
            }
        }
        #expect(try FileSystem.loadFile(path) == Array("one two".utf8))
    }

    @Test func fullDeviceIsReportedAsNoSpace() throws {
        let file = try FileDescriptor("/dev/full", for: .update)
        let error = try #require(throws: IOError.self) { try file.writeAll([1], at: 0) }
        #expect(error.isNoSpace)
        #expect(error.description.hasSuffix("; free some space on that file system"))
    }

    @Test func directAndBufferedWritesLeaveTheSameBytes() throws {
        let buffer = AlignedBuffer(byteCount: 3 * 4096)
        for index in 0..<buffer.byteCount { buffer.bytes[index] = UInt8(index % 251) }
        var contents: [[UInt8]] = []
        for isDirect in [false, true] {
            let path = directory.file("direct-\(isDirect)")
            let file = try FileDescriptor(path, for: .create, isDirect: isDirect)
            try file.preallocate(0..<(1 << 20))
            try file.writeAll(UnsafeRawBufferPointer(buffer.bytes), at: 0)
            try file.truncate(to: 10_000)
            try file.synchronizeData()
            contents.append(try FileSystem.loadFile(path))
        }
        #expect(contents[0] == contents[1])
        #expect(contents[0].count == 10_000)
    }

    @Test func unalignedDirectWriteFallsBackToBuffered() throws {
        let path = directory.file("a")
        let file = try FileDescriptor(path, for: .create, isDirect: true)
        try file.writeAll([1, 2, 3], at: 7)
        #expect(try FileSystem.loadFile(path) == [0, 0, 0, 0, 0, 0, 0, 1, 2, 3])
    }

    @Test func unalignedDirectReadFallsBackToBuffered() throws {
        let path = directory.file("a")
        let file = try FileDescriptor(path, for: .create, isDirect: true)
        try file.writeAll([1, 2, 3], at: 0)
        #expect(try file.reopen(isDirect: true).readAll(count: 2, at: 1) == [2, 3])
    }

    @Test func aFileThatHasNoNameAnyMoreIsOpenedAgainForReadingOnly() throws {
        let path = directory.file("a")
        let file = try FileDescriptor(path, for: .create)
        try file.writeAll([1, 2, 3], at: 0)
        #expect(try FileSystem.removeFile(path))
        let again = try file.reopen(isDirect: false)
        #expect(again.number != file.number)
        #expect(try again.readAll(count: 3, at: 0) == [1, 2, 3])
        let error = try #require(throws: IOError.self) { try again.writeAll([4], at: 0) }
        #expect(error.path == path)
    }

    @Test func unnamedFileLeavesNoNameAndCanGetOne() throws {
        let file = try FileDescriptor.unnamed(in: directory.path)
        try file.writeAll([1, 2], at: 0)
        #expect(try Directory(directory.path).loadNames() == [])
        try file.link(as: directory.file("named"))
        #expect(try FileSystem.loadFile(directory.file("named")) == [1, 2])
        #expect(throws: IOError.self) { try file.link(as: directory.file("named")) }
    }

    @Test func descriptorIsClosedWithItsLastReference() throws {
        let path = directory.file("a")
        var file: FileDescriptor? = try FileDescriptor(path, for: .create)
        let number = try #require(file?.number)
        let inode = try #require(try file?.loadStatus().inode)
        file = nil
        // Another test may have got the number meanwhile, but not for this file.
        var status = stat()
        #expect(fstat(number, &status) != 0 || UInt64(status.st_ino) != inode)
    }

    @Test func bufferIsAlignedAndZero() {
        let buffer = AlignedBuffer(byteCount: 10_000)
        #expect(Int(bitPattern: buffer.base) % 4096 == 0)
        #expect(buffer.bytes.allSatisfy { $0 == 0 })
    }
}
