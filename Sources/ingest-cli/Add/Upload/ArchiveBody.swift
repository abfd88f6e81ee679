import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO

/// The body of an upload of a CAR file, which is sent as it is, with or without a form around it. Its
/// header says the root.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time, and the command looks at the
/// result, or begins anew, only when the transport leaves it alone.
final class ArchiveBody: SourceBody, @unchecked Sendable {
    private let file: FileDescriptor
    /// Nil for standard input.
    private let status: FileStatus?
    private let path: ImportPath
    private let form: MultipartWriter?
    private let meter: ProgressMeter
    private let readers: WorkerPool
    private var writer: MultipartWriter?
    private var isStarted = false
    private var isEnded = false
    /// Bytes of the archive that have been given or passed over.
    private var position = 0
    private var header: CARReader? = CARReader()
    private var roots: [CID] = []

    /// - Parameters:
    ///   - manifest: What the archive has to be; nil for standard input.
    ///   - form: What makes a form around the archive; nil sends the archive alone.
    /// - Throws: `SourceChanged` when it is another one now.
    init(
        _ input: AddInput, _ manifest: SourceManifest?, form: MultipartWriter?, meter: ProgressMeter
    ) throws {
        self.form = form
        self.meter = meter
        writer = form
        readers = try WorkerPool(name: "read", threadCount: 1)
        if let path = try input.standardInputPath() {
            self.path = path
            file = StandardInput.open()
            status = nil
            return
        }
        guard let entry = try input.walks(openingFiles: true).first?.next(),
            case .file(let opened?) = entry.content
        else {
            throw CommandOutcome(.local, "--format car takes one CAR file; give its name or -")
        }
        if let manifest {
            let fingerprint = try EntryFingerprint().compute(
                input.uploadEntry(entry), entry.content, entry.status)
            guard manifest.fingerprints == [fingerprint] else {
                throw SourceChanged(at: entry.path)
            }
        }
        path = entry.path
        file = opened
        status = entry.status
    }

    var byteCount: UInt64? {
        guard let status else { return nil }
        let count = UInt64(status.byteCount)
        guard let form else { return count }
        var length = MultipartLength(writer: form)
        _ = length.add(UploadEntry(kind: .file, path: path), contentByteCount: count)
        return length.totalByteCount
    }

    /// - Precondition: In a form, `offset` is 0.
    func begin(at offset: UInt64) async throws {
        precondition(form == nil || offset == 0, "a form is not gone on with")
        try await readers.run { [self] in try passOver(Int(offset)) }
    }

    private func passOver(_ byteCount: Int) throws {
        writer = form
        isStarted = false
        position = 0
        if roots.isEmpty { header = CARReader() }
        while header != nil, position < byteCount {
            var piece = TransferBuffer(capacity: FormReader.pieceByteCount)
            try read(min(byteCount - position, FormReader.pieceByteCount), into: &piece)
        }
        position = byteCount
        isEnded = form == nil && position == status?.byteCount
    }

    func next() async throws -> TransferBuffer? {
        if isEnded { return nil }
        return try await readers.run { [self] in try nextPiece() }
    }

    private func nextPiece() throws -> TransferBuffer {
        var piece = TransferBuffer(capacity: FormReader.pieceByteCount)
        if !isStarted {
            isStarted = true
            var head: [UInt8] = []
            writer?.appendHead(of: UploadEntry(kind: .file, path: path), to: &head)
            piece.append(head)
        }
        let room = FormReader.pieceByteCount - piece.byteCount
        let wanted = status.map { min(room, $0.byteCount - position) } ?? room
        let count = try read(wanted, into: &piece)
        meter.byteCount = position
        if status.map({ position == $0.byteCount }) ?? (count < wanted) {
            var end: [UInt8] = []
            writer?.appendEnd(to: &end)
            piece.append(end)
            isEnded = true
        }
        return piece
    }

    /// Reads on behind `position`, and looks for the header there.
    @discardableResult
    private func read(_ byteCount: Int, into piece: inout TransferBuffer) throws -> Int {
        let start = piece.byteCount
        let count = try piece.append(atMost: byteCount) { room in
            if status == nil { return try StandardInput.fill(room, from: file) }
            return try file.fill(room, at: position)
        }
        position += count
        if let status {
            guard count == byteCount else { throw FileChanged(path: file.path) }
            try status.checkUnchanged(file)
        }
        try piece.withBytes { try lookForRoots(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        return count
    }

    private func lookForRoots(_ bytes: UnsafeRawBufferPointer) throws {
        guard header != nil else { return }
        var rest = bytes
        if case .header(let found)? = try header?.next(from: &rest) {
            roots = found.roots
            header = nil
        }
    }

    func finish(_ answer: AddedOutput) throws -> ImportedEntry {
        guard let root = roots.first else {
            throw ClientError.notUnderstood(
                address: "the service", what: "it found a root in an archive that names none")
        }
        return ImportedEntry(
            path: [], cid: root, cumulativeByteCount: answer.size ?? 0, fileByteCount: 0,
            kind: .file)
    }

    func abandon() {}

    var omissions: [WalkOmissions] { [] }
}
