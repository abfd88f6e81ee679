import Multiformats
import PosixIO
import Synchronization

/// Why a sealed shard file cannot be used.
package enum ShardFileError: Error, CustomStringConvertible {
    case damaged(path: String, String)
    case truncated(path: String, byteCount: Int, expected: Int)
    case unreadable(path: String, IOError)

    package var description: String {
        switch self {
        case .damaged(let path, let reason): "shard file \(path) is damaged: \(reason)"
        case .truncated(let path, let found, let expected):
            "shard file \(path) has \(found) bytes, its header speaks of \(expected): it was cut"
        case .unreadable(let path, let cause):
            "shard file \(path) cannot be read: \(cause)"
        }
    }
}

/// A sealed shard, open for reading. Its file is closed with the last reference.
package final class ShardFile: Sendable {
    package let copy: ShardCopyID
    package let serial: UInt32
    package let path: String
    package let byteCount: Int
    private let file: FileDescriptor
    private let header: CARv2.Header
    private let index: MultihashIndex
    private let onClose = Mutex<(@Sendable () -> Void)?>(nil)

    init(path: String, copy: ShardCopyID, serial: UInt32) throws {
        self.path = path
        self.copy = copy
        self.serial = serial
        let file = try FileDescriptor(path, for: .read)
        self.file = file
        let byteCount = try file.loadByteCount()
        self.byteCount = byteCount
        guard byteCount > CARv2.Header.byteCount else {
            throw ShardFileError.truncated(
                path: path, byteCount: byteCount, expected: CARv2.Header.byteCount)
        }
        let start = try file.readBytes(0..<CARv2.Header.byteCount)
        let header: CARv2.Header
        do {
            header = try start.withUnsafeBytes { try CARv2.Header(decoding: $0) }
        } catch {
            throw ShardFileError.damaged(path: path, "\(error)")
        }
        let indexOffset = Int(clamping: header.indexOffset)
        guard indexOffset > 0, indexOffset < byteCount else {
            throw ShardFileError.truncated(path: path, byteCount: byteCount, expected: indexOffset)
        }
        self.header = header
        do {
            index = try MultihashIndex(byteCount: UInt64(byteCount - indexOffset)) {
                offset, space in
                try file.readAll(into: space, at: indexOffset + Int(offset))
            }
        } catch let error as IOError {
            throw error
        } catch {
            throw ShardFileError.damaged(path: path, "\(error)")
        }
    }

    deinit {
        onClose.withLock { $0 }?()
    }

    /// Calls `body` when nobody reads the file any more.
    func whenClosed(_ body: @escaping @Sendable () -> Void) {
        onClose.withLock { $0 = body }
    }

    /// Where a block lies, or `nil` when it is not in this shard.
    package func locate(_ cid: CID) throws -> BlockLocation? {
        let indexOffset = Int(header.indexOffset)
        let found = try index.sectionOffset(of: cid) { [file] offset, space in
            try file.readAll(into: space, at: indexOffset + Int(offset))
        }
        guard let offset = found else { return nil }
        guard offset < header.dataByteCount else {
            throw ShardFileError.damaged(path: path, "the index points beyond the blocks")
        }
        let start = Int(header.dataOffset) + Int(offset)
        return try readSectionHead(at: start, end: payloadRange.upperBound)
    }

    private func readSectionHead(at start: Int, end: Int) throws -> BlockLocation {
        let head = try file.readBytes(start..<min(start + 10 + CID.maximumByteCount, end))
        return try head.withUnsafeBytes { bytes in
            var position = 0
            let contentByteCount: UInt64
            let cid: CID
            do {
                contentByteCount = try Varint.decode(bytes, at: &position)
                let cidStart = position
                cid = try CID.decode(bytes, at: &position)
                guard contentByteCount <= UInt64(end - start) else {
                    throw ShardFileError.damaged(path: path, "a section at \(start) is too long")
                }
                let blockByteCount = Int(contentByteCount) - (position - cidStart)
                guard blockByteCount >= 0, start + position + blockByteCount <= end else {
                    throw ShardFileError.damaged(path: path, "a section at \(start) is too long")
                }
                return BlockLocation(
                    file: self, cid: cid, offset: start + position, byteCount: blockByteCount)
            } catch let error as ShardFileError {
                throw error
            } catch {
                throw ShardFileError.damaged(path: path, "section at \(start): \(error)")
            }
        }
    }

    /// Reads every digest of the index, in its order, as keys of the block catalogue.
    func forEachKey(_ body: (UInt64) throws -> Void) throws {
        let indexOffset = Int(header.indexOffset)
        try index.forEachRow { [file] offset, space in
            try file.readAll(into: space, at: indexOffset + Int(offset))
        } _: { function, digest, _ in
            try body(CatalogueKey.key(function: function, digest: digest))
        }
    }

    /// Opens the file once more to read it as it is on disk from front to back.
    package func makeReader() -> ShardFileReader {
        // Without direct I/O it takes longer, no more.
        ShardFileReader(shard: self, file: (try? file.reopen(isDirect: true)) ?? file)
    }

    /// Reads bytes of the file as it is on disk.
    fileprivate func read(into space: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        try file.readAll(into: space, at: offset)
    }

    /// The CARv1 inside the file.
    package var payloadRange: Range<Int> {
        Int(header.dataOffset)..<Int(header.dataOffset + header.dataByteCount)
    }
}

/// Reads a shard as it is on disk, for sending it. One task uses it.
///
/// It goes past the page cache, where the file system allows it: pages of the page cache are costly to
/// fill, and who sends a shard reads it once.
package struct ShardFileReader: Sendable {
    /// Bytes read at once.
    package static let pieceByteCount = 1 << 20
    private static let alignment = SegmentWriter.alignment

    /// Kept open, so that nobody removes it meanwhile.
    private let shard: ShardFile
    private let file: FileDescriptor
    private let space = AlignedBuffer(byteCount: pieceByteCount + 2 * alignment)

    fileprivate init(shard: ShardFile, file: FileDescriptor) {
        self.shard = shard
        self.file = file
    }

    /// Bytes of the file, valid until the next call.
    ///
    /// - Parameter range: At most `pieceByteCount` long.
    package func read(_ range: Range<Int>) throws -> UnsafeRawBufferPointer {
        precondition(range.count <= Self.pieceByteCount, "more than one piece")
        let skipped = range.lowerBound % Self.alignment
        let start = range.lowerBound - skipped
        let needed = skipped + range.count
        let whole = (needed + Self.alignment - 1) / Self.alignment * Self.alignment
        var done = 0
        while done < needed {
            // Behind the end of the file nothing comes.
            let count = try file.readSome(
                into: UnsafeMutableRawBufferPointer(rebasing: space.bytes[done..<whole]),
                at: start + done)
            guard count > 0 else {
                throw IOError(
                    "read", shard.path,
                    .endOfFile(offset: start + done, missingByteCount: needed - done))
            }
            done += count
        }
        return UnsafeRawBufferPointer(rebasing: space.bytes[skipped..<needed])
    }
}

/// A block's bytes within an open shard file.
package struct BlockLocation: Sendable {
    let file: ShardFile
    /// The block's CID as the section has it; the one looked up may differ in version and codec.
    package let cid: CID
    let offset: Int
    package let byteCount: Int

    package var shard: CID { file.copy.shard }

    /// Reads the block, which is not verified.
    ///
    /// - Parameter space: Exactly `byteCount` bytes.
    package func read(into space: UnsafeMutableRawBufferPointer) throws {
        try file.read(into: space, at: offset)
    }
}

extension FileDescriptor {
    /// Reads a short range; an early end of the file is an error.
    fileprivate func readBytes(_ range: Range<Int>) throws(IOError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var failure: IOError?
        bytes.withUnsafeMutableBytes { space in
            do throws(IOError) {
                try readAll(into: space, at: range.lowerBound)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
