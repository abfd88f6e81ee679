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

    /// Without the bytes of files where those were not wanted.
    var buffer: TransferBuffer
    /// Bytes of the form that the piece stands for.
    var byteCount = 0
    var steps: [Step] = []

    mutating func append(_ bytes: [UInt8]) {
        buffer.append(bytes)
        byteCount += bytes.count
    }
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

        /// Reads until `room` is full or the file ends.
        func fill(_ room: UnsafeMutableRawBufferPointer) throws -> Int {
            if status == nil { return try StandardInput.fill(room, from: file) }
            // Not from where the last read ended: bytes may have been passed over.
            return try file.fill(room, at: offset)
        }
    }

    private let input: AddInput
    private var writer: MultipartWriter
    /// What the input was when it was looked at first; nil for a stream.
    private let manifest: SourceManifest?
    private let fingerprint: EntryFingerprint
    private var entryCount = 0
    /// Whether the piece that is being made gets the bytes of files.
    private var readsContent = true
    private var walks: ArraySlice<TreeWalk>
    private var open: OpenFile?
    private var isStarted = false
    private var isEnded = false
    /// What was left out; complete when all pieces have been read.
    private(set) var omissions: [WalkOmissions] = []

    /// - Parameter manifest: What the input has to be; nil for a stream.
    init(_ input: AddInput, _ writer: MultipartWriter, _ manifest: SourceManifest?) throws {
        self.input = input
        self.writer = writer
        self.manifest = manifest
        fingerprint = try EntryFingerprint()
        walks = input.walks(openingFiles: true)[...]
    }

    /// The next piece; `nil` at the end. Pieces of equal inputs are equal.
    ///
    /// - Parameter readingContent: Otherwise the piece has no bytes of files, only their number.
    func next(readingContent: Bool = true) throws -> FormPiece? {
        if isEnded { return nil }
        readsContent = readingContent
        var piece = FormPiece(
            buffer: TransferBuffer(capacity: readingContent ? Self.pieceByteCount : 0))
        while !isEnded, piece.byteCount < Self.pieceByteCount - Self.headByteCount {
            if open != nil {
                try readFile(into: &piece)
            } else if let entry = try nextEntry() {
                try begin(entry, in: &piece)
            } else if try !beginStandardInput(in: &piece) {
                var end: [UInt8] = []
                writer.appendEnd(to: &end)
                piece.append(end)
                isEnded = true
            }
        }
        if isEnded, let manifest, entryCount < manifest.fingerprints.count {
            throw SourceChanged(at: nil)
        }
        return piece
    }

    private func check(_ entry: WalkedEntry, _ described: UploadEntry) throws {
        guard let manifest else { return }
        defer { entryCount += 1 }
        guard entryCount < manifest.fingerprints.count,
            try fingerprint.compute(described, entry.content, entry.status)
                == manifest.fingerprints[entryCount]
        else { throw SourceChanged(at: entry.path) }
    }

    private func nextEntry() throws -> WalkedEntry? {
        while let walk = walks.first {
            do {
                if let entry = try walk.next() { return entry }
            } catch let error as CommandOutcome where manifest != nil {
                // It could be walked before.
                throw SourceChanged(by: error)
            } catch let error as IOError where manifest != nil && error.isAboutKind {
                throw SourceChanged(by: CommandOutcome(error))
            }
            omissions.append(walk.omissions)
            walks.removeFirst()
        }
        return nil
    }

    private func begin(_ entry: WalkedEntry, in piece: inout FormPiece) throws {
        let described = input.uploadEntry(entry)
        try check(entry, described)
        appendHead(of: described, to: &piece)
        switch entry.content {
        case .directory:
            piece.steps.append(.directory(described.path, described.metadata))
        case .symlink(let target):
            piece.append(target)
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
        piece.append(head)
    }

    private func readFile(into piece: inout FormPiece) throws {
        guard let reading = open else { return }
        let start = piece.byteCount
        let room = Self.pieceByteCount - start
        let wanted = reading.status.map { min(room, $0.byteCount - reading.offset) } ?? room
        if wanted > 0 {
            let count =
                readsContent
                ? try piece.buffer.append(atMost: wanted) { bytes in
                    try reading.fill(bytes)
                } : wanted
            piece.byteCount += count
            piece.steps.append(.data(start..<start + count))
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
