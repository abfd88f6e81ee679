/// Scratch files that are arrays: for tests, and for jobs known to be small.
package final class MemoryScratch: ScratchSpace {
    package init() {}

    package func makeFile() -> any ScratchFile { MemoryScratchFile() }
}

final class MemoryScratchFile: ScratchFile {
    private var contents: [UInt8] = []

    var byteCount: UInt64 { UInt64(contents.count) }

    func append(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let offset = byteCount
        contents.append(contentsOf: bytes)
        return offset
    }

    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
        guard !overflow, end <= byteCount else {
            throw SpillError.readPastEnd(
                offset: offset, byteCount: bytes.count, fileByteCount: byteCount)
        }
        contents.withUnsafeBytes {
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(end)]))
        }
    }
}
