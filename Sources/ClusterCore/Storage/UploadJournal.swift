import Multiformats
import PosixIO
import ShardPlanner

/// What an upload needs to go on from an acknowledged offset, as far as it is new.
package struct UploadCheckpoint: Equatable, Sendable {
    /// Bytes of the body that are acknowledged.
    package var offset: Int
    /// Bytes of files among them.
    package var contentByteCount: Int
    /// Steps of the import since the checkpoint before, encoded.
    package var records: [UInt8]
    /// State of whoever reads the body, encoded.
    package var reader: [UInt8]
    /// Content behind the last chunk.
    package var tail: [UInt8]
    /// The open shard file's bytes behind its last durable block of the disk.
    package var rest: [UInt8]

    package init(
        offset: Int, contentByteCount: Int, records: [UInt8], reader: [UInt8], tail: [UInt8],
        rest: [UInt8]
    ) {
        self.offset = offset
        self.contentByteCount = contentByteCount
        self.records = records
        self.reader = reader
        self.tail = tail
        self.rest = rest
    }
}

/// Why an upload cannot go on from its journal.
package enum UploadJournalError: Error, CustomStringConvertible {
    case damaged(path: String, offset: Int)
    case otherFormat(path: String, UInt8)

    package var description: String {
        switch self {
        case .damaged(let path, let offset):
            "the upload's journal \(path) is damaged at byte \(offset)"
        case .otherFormat(let path, let format):
            "the upload's journal \(path) has format \(format), which this version does not read"
        }
    }
}

/// The file from which an upload goes on: frames of a length (four bytes), a check of the length (four),
/// the XXH64 of the payload (eight) and the payload. The first payload opens the upload, each other one
/// is a checkpoint (`rfcs/0009-resumable-uploads.md`).
///
/// Calls block and belong on workers.
///
/// `@unchecked Sendable`: one task at a time uses it.
package final class UploadJournal: @unchecked Sendable {
    private static let format: UInt8 = 1
    private static let headByteCount = 16
    /// A journal is written anew when so much of it is of no more use, and more than what is.
    static let wasteByteLimit = DiskSeam.limit(64 << 20, "JOURNAL")

    /// What opened the upload.
    package let opening: [UInt8]
    private let path: String
    private var file: FileDescriptor
    private var end: Int
    private var wasteByteCount = 0
    /// Content offset of the last tail's end, and its length: what the next one may share with it.
    private var lastContentEnd = 0
    private var lastTailByteCount = 0
    /// The last tail that was read.
    private var tail: [UInt8] = []

    private init(path: String, file: FileDescriptor, opening: [UInt8], end: Int) {
        self.path = path
        self.file = file
        self.opening = opening
        self.end = end
    }

    /// Makes a journal.
    package static func create(_ path: String, opening: [UInt8]) throws -> UploadJournal {
        // A process may have been killed between making it and answering.
        try FileSystem.removeFile(path)
        let journal = try begin(path, at: path, opening: opening)
        try journal.file.synchronize()
        try FileSystem.synchronizeDirectory(FileSystem.directory(of: path))
        return journal
    }

    /// Opens a journal, to be read to its end before anything is appended.
    package static func open(_ path: String) throws -> UploadJournal {
        try open(path, for: .update)
    }

    /// What opened the upload, and how many of its bytes were acknowledged last.
    package static func loadEnd(_ path: String) throws -> (opening: [UInt8], offset: Int) {
        let journal = try open(path, for: .read)
        var offset = 0
        while let checkpoint = try journal.nextWhole() { offset = checkpoint.offset }
        return (journal.opening, offset)
    }

    /// Does what `close` does, where a process has ended between the upload and that.
    package static func closeIfNeeded(_ path: String) throws {
        let journal = try open(path, for: .read)
        var (count, offset) = (0, 0)
        while let checkpoint = try journal.nextWhole() {
            (count, offset) = (count + 1, checkpoint.offset)
        }
        if count > 1 { try journal.close(offset: offset) }
    }

    /// The next checkpoint, with its whole tail; `nil` at the end, where what a cut write has left is cut
    /// off. What was read is durable then: the process that wrote it may have been killed before it was.
    package func next() throws -> UploadCheckpoint? {
        if let checkpoint = try nextWhole() { return checkpoint }
        tail = []
        try file.truncate(to: end)
        try file.synchronize()
        return nil
    }

    /// Makes a checkpoint durable.
    package func append(_ checkpoint: UploadCheckpoint) throws {
        // The tails are pieces of one content, so they overlap by what both have of it.
        let overlap = max(
            0, lastContentEnd - (checkpoint.contentByteCount - checkpoint.tail.count))
        let shared = min(overlap, lastTailByteCount, checkpoint.tail.count)
        let added = Array(checkpoint.tail.dropFirst(shared))
        let drop = lastTailByteCount - shared
        let former = end
        do {
            try append(frame: Self.encode(checkpoint, drop: drop, adding: added))
            try file.synchronizeData()
        } catch {
            // It could be read all the same, and be taken for durable.
            end = former
            try file.truncate(to: former)
            throw error
        }
        wasteByteCount += drop
        note(checkpoint)
        if wasteByteCount > Self.wasteByteLimit, wasteByteCount > end / 2 {
            try rewrite()
        }
    }

    /// The upload is complete, and nothing goes on from here: leaves only how long it was.
    package func close(offset: Int) throws {
        try replace { new in
            let end = UploadCheckpoint(
                offset: offset, contentByteCount: 0, records: [], reader: [], tail: [], rest: [])
            try new.append(frame: Self.encode(end, drop: 0, adding: []))
        }
    }

    package static func remove(_ path: String) throws {
        try FileSystem.removeFile(path)
        try FileSystem.removeFile(path + FileSystem.unfinishedSuffix)
        try FileSystem.synchronizeDirectory(FileSystem.directory(of: path))
    }

    // MARK: - Frames

    private static func begin(
        _ path: String, at place: String, opening: [UInt8]
    ) throws -> UploadJournal {
        let file = try FileDescriptor(place, for: .create, permissions: 0o600)
        let journal = UploadJournal(path: path, file: file, opening: opening, end: 0)
        try journal.append(frame: [format] + opening)
        return journal
    }

    private static func open(
        _ path: String, for access: FileDescriptor.Access
    ) throws -> UploadJournal {
        let file = try FileDescriptor(path, for: access)
        guard let (frame, end) = try nextFrame(of: file, path, at: 0) else {
            throw UploadJournalError.damaged(path: path, offset: 0)
        }
        guard frame.first == format else {
            throw UploadJournalError.otherFormat(path: path, frame.first ?? 0)
        }
        return UploadJournal(path: path, file: file, opening: Array(frame.dropFirst()), end: end)
    }

    private func nextWhole() throws -> UploadCheckpoint? {
        guard let (frame, next) = try Self.nextFrame(of: file, path, at: end) else { return nil }
        let former = tail.count
        guard let (checkpoint, kept) = Self.decode(frame, after: &tail) else {
            throw UploadJournalError.damaged(path: path, offset: end)
        }
        wasteByteCount += former - kept
        end = next
        note(checkpoint)
        return checkpoint
    }

    private func note(_ checkpoint: UploadCheckpoint) {
        lastContentEnd = checkpoint.contentByteCount
        lastTailByteCount = checkpoint.tail.count
    }

    private func append(frame payload: [UInt8]) throws {
        let bytes = Self.frame(payload)
        try file.writeAll(bytes, at: end)
        end += bytes.count
    }

    /// A payload as it is in the file.
    package static func frame(_ payload: [UInt8]) -> [UInt8] {
        let length = littleEndian(UInt32(payload.count))
        let check = littleEndian(UInt32(truncatingIfNeeded: XXH64.hash(length)))
        return length + check + littleEndian(XXH64.hash(payload)) + payload
    }

    private static func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    /// The payload of the frame at `start`, and where it ends; `nil` when there is none that is whole.
    ///
    /// - Throws: `damaged` when another frame follows what is not whole: then it is no last one that was cut.
    private static func nextFrame(
        of file: FileDescriptor, _ path: String, at start: Int
    ) throws -> (payload: [UInt8], end: Int)? {
        let fileEnd = try file.loadByteCount()
        if let payload = try wholePayload(of: file, at: start, fileEnd) {
            return (payload, start + headByteCount + payload.count)
        }
        // The disk may have written any part of a last frame before the power went.
        var next = start + (try byteCount(of: file, at: start, fileEnd) ?? 1)
        while next + headByteCount <= fileEnd {
            let piece = try file.readAll(count: min(1 << 20, fileEnd - next), at: next)
            for offset in 0...piece.count - headByteCount where isHead(piece, at: offset) {
                guard try wholePayload(of: file, at: next + offset, fileEnd) == nil else {
                    throw UploadJournalError.damaged(path: path, offset: start)
                }
            }
            next += piece.count - headByteCount + 1
        }
        return nil
    }

    private static func wholePayload(
        of file: FileDescriptor, at start: Int, _ fileEnd: Int
    ) throws -> [UInt8]? {
        guard let count = try byteCount(of: file, at: start, fileEnd), fileEnd - start >= count
        else { return nil }
        let frame = try file.readAll(count: count, at: start)
        let payload = Array(frame[headByteCount...])
        return littleEndian(XXH64.hash(payload)) == Array(frame[8..<headByteCount])
            ? payload : nil
    }

    /// The length that a frame says it has, its head included; `nil` where none starts.
    private static func byteCount(
        of file: FileDescriptor, at start: Int, _ fileEnd: Int
    ) throws -> Int? {
        guard fileEnd - start >= headByteCount else { return nil }
        let head = try file.readAll(count: headByteCount, at: start)
        guard isHead(head, at: 0) else { return nil }
        return headByteCount + head[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    /// Whether a frame may start there: a length, and the check of it.
    private static func isHead(_ bytes: [UInt8], at offset: Int) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var hash = XXH64()
            hash.update(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + 4]))
            return UInt32(truncatingIfNeeded: hash.finish()).littleEndian
                == bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
        }
    }

    private static func encode(
        _ checkpoint: UploadCheckpoint, drop: Int, adding: [UInt8]
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        for number in [checkpoint.offset, checkpoint.contentByteCount, drop] {
            bytes.appendNumber(UInt64(number))
        }
        for run in [adding, checkpoint.rest, checkpoint.reader, checkpoint.records] {
            bytes.appendRun(run)
        }
        return bytes
    }

    /// - Parameter tail: That of the checkpoint before; becomes that of this one.
    /// - Returns: The checkpoint, and how much of the former tail is in its own.
    private static func decode(
        _ bytes: [UInt8], after tail: inout [UInt8]
    ) -> (UploadCheckpoint, kept: Int)? {
        bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            guard let offset = try? cursor.count(), let contentByteCount = try? cursor.count(),
                let drop = try? cursor.count(), drop <= tail.count, let added = try? cursor.run(),
                let rest = try? cursor.run(), let reader = try? cursor.run(),
                let records = try? cursor.run(), cursor.isAtEnd
            else { return nil }
            tail.removeFirst(drop)
            let kept = tail.count
            tail.append(contentsOf: added)
            let checkpoint = UploadCheckpoint(
                offset: offset, contentByteCount: contentByteCount, records: records,
                reader: reader, tail: tail, rest: rest)
            return (checkpoint, kept)
        }
    }

    // MARK: - Writing anew

    /// Leaves out tails that others have replaced.
    private func rewrite() throws {
        try replace { new in
            let old = try Self.open(path, for: .read)
            var last: UploadCheckpoint?
            while let checkpoint = try old.nextWhole() {
                if let last { try new.append(frame: Self.encode(last, drop: 0, adding: [])) }
                last = checkpoint
            }
            if let last { try new.append(frame: Self.encode(last, drop: 0, adding: last.tail)) }
        }
        wasteByteCount = 0
    }

    private func replace(_ write: (UploadJournal) throws -> Void) throws {
        let newPath = path + FileSystem.unfinishedSuffix
        try FileSystem.removeFile(newPath)
        let new = try Self.begin(path, at: newPath, opening: opening)
        try write(new)
        try new.file.synchronize()
        try FileSystem.rename(newPath, to: path)
        try FileSystem.synchronizeDirectory(FileSystem.directory(of: path))
        file = new.file
        end = new.end
    }
}
