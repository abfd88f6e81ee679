@testable import Spill

/// A disk with little room, or one that forgets the ends of its files.
final class FaultyScratch: ScratchSpace {
    enum Fault: Error, Equatable {
        case noSpace
    }

    private let roomByteCount: UInt64
    private let lostByteCount: UInt64

    /// - Parameters:
    ///   - roomByteCount: What fits in one file.
    ///   - lostByteCount: What is missing from a file's end once it is complete.
    init(roomByteCount: UInt64 = .max, lostByteCount: UInt64 = 0) {
        self.roomByteCount = roomByteCount
        self.lostByteCount = lostByteCount
    }

    func makeFile() -> any ScratchFile {
        FaultyFile(roomByteCount: roomByteCount, lostByteCount: lostByteCount)
    }
}

private final class FaultyFile: ScratchFile {
    private let file = MemoryScratchFile()
    private let roomByteCount: UInt64
    private let lostByteCount: UInt64

    init(roomByteCount: UInt64, lostByteCount: UInt64) {
        self.roomByteCount = roomByteCount
        self.lostByteCount = lostByteCount
    }

    var byteCount: UInt64 { file.byteCount - min(lostByteCount, file.byteCount) }

    func append(_ bytes: UnsafeRawBufferPointer) throws -> UInt64 {
        guard file.byteCount + UInt64(bytes.count) <= roomByteCount else {
            throw FaultyScratch.Fault.noSpace
        }
        return file.append(bytes)
    }

    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
        guard offset + UInt64(bytes.count) <= byteCount else {
            throw SpillError.readPastEnd(
                offset: offset, byteCount: bytes.count, fileByteCount: byteCount)
        }
        try file.read(at: offset, into: bytes)
    }
}
