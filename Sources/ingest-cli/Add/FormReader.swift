import Importer
import IngestAPI
import IngestClient
import PosixIO

/// A piece of the form with what it holds.
struct FormPiece: Sendable {
    enum Step: Sendable {
        case beginFile(ImportPath, EntryMetadata)
        /// Bytes of the open file, as a range of the piece.
        case data(Range<Int>)
        case endFile
        case directory(ImportPath, EntryMetadata)
        case symlink(ImportPath, target: [UInt8], EntryMetadata)
    }

    var buffer: TransferBuffer
    var steps: [Step] = []
    var contentByteCount = 0
}

/// Reads the input and lays it out as the form that is sent, a piece at a time: the bytes of files go
/// from the disk to where the socket takes them.
///
/// `@unchecked Sendable`: only jobs of one single thread use it.
final class FormReader: @unchecked Sendable {
    static let pieceByteCount = 1 << 20
    /// Room for the head of a usual entry; a longer one makes the piece grow.
    private static let headByteCount = 512

    private struct OpenFile {
        let file: FileDescriptor
        /// Nil for a stream, which ends when it ends.
        let status: FileStatus?
        var offset = 0
    }

    private let input: AddInput
    private var writer: MultipartWriter
    private let declaredByteCount: UInt64?
    private var walks: ArraySlice<TreeWalk>
    private var open: OpenFile?
    private var isStarted = false
    private var isEnded = false
    private var madeByteCount: UInt64 = 0
    /// What was left out; complete when all pieces have been read.
    private(set) var omissions: [WalkOmissions] = []

    /// - Parameter declaredByteCount: The length the form was said to have, if it was.
    init(_ input: AddInput, _ writer: MultipartWriter, declaredByteCount: UInt64?) {
        self.input = input
        self.writer = writer
        self.declaredByteCount = declaredByteCount
        walks = input.walks(openingFiles: true)[...]
    }

    /// The next piece; `nil` at the end.
    func next() throws -> FormPiece? {
        if isEnded { return nil }
        var piece = FormPiece(buffer: TransferBuffer(capacity: Self.pieceByteCount))
        while !isEnded, piece.buffer.byteCount < Self.pieceByteCount - Self.headByteCount {
            if open != nil {
                try readFile(into: &piece)
            } else if let entry = try nextEntry() {
                try begin(entry, in: &piece)
            } else if try !beginStandardInput(in: &piece) {
                var end: [UInt8] = []
                writer.appendEnd(to: &end)
                piece.buffer.append(end)
                isEnded = true
            }
        }
        madeByteCount += UInt64(piece.buffer.byteCount)
        try checkLength()
        return piece
    }

    private func checkLength() throws {
        guard let declaredByteCount else { return }
        let isRight =
            isEnded ? madeByteCount == declaredByteCount : madeByteCount <= declaredByteCount
        guard isRight else {
            throw CommandOutcome(
                .local,
                "what is being added changed while it was being read; "
                    + "add it again when nobody writes to it")
        }
    }

    private func nextEntry() throws -> WalkedEntry? {
        while let walk = walks.first {
            if let entry = try walk.next() { return entry }
            omissions.append(walk.omissions)
            walks.removeFirst()
        }
        return nil
    }

    private func begin(_ entry: WalkedEntry, in piece: inout FormPiece) throws {
        let described = input.uploadEntry(entry)
        appendHead(of: described, to: &piece)
        switch entry.content {
        case .directory:
            piece.steps.append(.directory(described.path, described.metadata))
        case .symlink(let target):
            piece.buffer.append(target)
            piece.contentByteCount += target.count
            piece.steps.append(.symlink(described.path, target: target, described.metadata))
        case .file(let file):
            guard let file else { preconditionFailure("this walk opens files") }
            piece.steps.append(.beginFile(described.path, described.metadata))
            open = OpenFile(file: file, status: entry.status)
        }
    }

    /// - Returns: False when there is no standard input to read, or no more.
    private func beginStandardInput(in piece: inout FormPiece) throws -> Bool {
        guard !isStarted, let path = try input.standardInputPath() else { return false }
        isStarted = true
        appendHead(of: UploadEntry(kind: .file, path: path), to: &piece)
        piece.steps.append(.beginFile(path, .none))
        open = OpenFile(file: StandardInput.open(), status: nil)
        return true
    }

    private func appendHead(of entry: UploadEntry, to piece: inout FormPiece) {
        var head: [UInt8] = []
        writer.appendHead(of: entry, to: &head)
        piece.buffer.append(head)
    }

    private func readFile(into piece: inout FormPiece) throws {
        guard let reading = open else { return }
        let start = piece.buffer.byteCount
        let room = Self.pieceByteCount - start
        let wanted = reading.status.map { min(room, $0.byteCount - reading.offset) } ?? room
        if wanted > 0 {
            let count = try piece.buffer.append(atMost: wanted) { bytes in
                try StandardInput.fill(bytes, from: reading.file)
            }
            piece.steps.append(.data(start..<start + count))
            piece.contentByteCount += count
            open?.offset += count
            // A file that is too short has changed; a stream has ended.
            let isShort = count < wanted
            if isShort, reading.status != nil { throw FileChanged(path: reading.file.path) }
            if !isShort, reading.status == nil { return }
        }
        if let status = reading.status {
            try status.checkUnchanged(reading.file)
            if let offset = open?.offset, offset < status.byteCount { return }
        }
        piece.steps.append(.endFile)
        open = nil
    }
}
