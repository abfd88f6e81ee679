import Glibc
import Spill

/// Scratch files on disk, without names: nothing is left of them, however the process ends.
package final class DiskScratch: ScratchSpace {
    private let directory: String

    /// - Parameter directory: Exists, on a file system with room.
    package init(directory: String) {
        self.directory = directory
    }

    package func makeFile() throws -> any ScratchFile {
        DiskScratchFile(try FileDescriptor.unnamed(in: directory))
    }
}

/// Collects small appends; what is not yet written is read from memory.
final class DiskScratchFile: ScratchFile {
    private let file: FileDescriptor
    private var writtenByteCount = 0
    /// Bytes behind those written; allocated by the first append.
    private var buffer: UnsafeMutableRawBufferPointer?
    private var bufferedByteCount = 0

    private static let bufferByteCount = DiskSeam.limit(64 << 10, "SCRATCH")

    init(_ file: FileDescriptor) { self.file = file }

    deinit { buffer?.deallocate() }

    var byteCount: UInt64 { UInt64(writtenByteCount + bufferedByteCount) }

    func append(_ bytes: UnsafeRawBufferPointer) throws -> UInt64 {
        let offset = byteCount
        guard !bytes.isEmpty else { return offset }
        if bufferedByteCount + bytes.count > Self.bufferByteCount { try flush() }
        if bytes.count >= Self.bufferByteCount {
            try file.writeAll(bytes, at: writtenByteCount)
            writtenByteCount += bytes.count
        } else {
            let buffer = buffer ?? .allocate(byteCount: Self.bufferByteCount, alignment: 16)
            self.buffer = buffer
            (buffer.baseAddress! + bufferedByteCount)
                .copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
            bufferedByteCount += bytes.count
        }
        return offset
    }

    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
        guard !overflow, end <= byteCount else {
            throw SpillError.readPastEnd(
                offset: offset, byteCount: bytes.count, fileByteCount: byteCount)
        }
        let fromFile = min(bytes.count, max(0, writtenByteCount - Int(offset)))
        try file.readAll(
            into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<fromFile]), at: Int(offset))
        guard fromFile < bytes.count, let buffer else { return }
        let start = Int(offset) + fromFile - writtenByteCount
        (bytes.baseAddress! + fromFile)
            .copyMemory(from: buffer.baseAddress! + start, byteCount: bytes.count - fromFile)
    }

    func endAppending() throws {
        try flush()
        buffer?.deallocate()
        buffer = nil
    }

    private func flush() throws {
        guard bufferedByteCount > 0, let buffer else { return }
        try file.writeAll(
            UnsafeRawBufferPointer(rebasing: buffer[..<bufferedByteCount]), at: writtenByteCount)
        writtenByteCount += bufferedByteCount
        bufferedByteCount = 0
    }
}
