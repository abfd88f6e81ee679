import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO

/// The body of an upload of a CAR file, which is sent as it is. Its header says the root.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time, and the command looks at the
/// result only after the upload has ended.
final class ArchiveBody: RequestBodySource, @unchecked Sendable {
    private let file: FileDescriptor
    /// Nil for standard input.
    private let status: FileStatus?
    private let meter: ProgressMeter
    private let readers: WorkerPool
    private var writer: MultipartWriter
    private let path: ImportPath
    private var isStarted = false
    private var isEnded = false
    private var sentByteCount = 0
    private var header: CARReader? = CARReader()
    private(set) var roots: [CID]?

    init(_ input: AddInput, _ writer: MultipartWriter, meter: ProgressMeter) throws {
        self.writer = writer
        self.meter = meter
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
        path = entry.path
        file = opened
        status = entry.status
    }

    /// Length of the form, where it is known.
    var byteCount: UInt64? {
        guard let status else { return nil }
        var length = MultipartLength(writer: writer)
        _ = length.add(
            UploadEntry(kind: .file, path: path), contentByteCount: UInt64(status.byteCount))
        return length.totalByteCount
    }

    var contentByteCount: Int? { status?.byteCount }

    func next() async throws -> TransferBuffer? {
        if isEnded { return nil }
        return try await readers.run { [self] in try read() }
    }

    private func read() throws -> TransferBuffer {
        var buffer = TransferBuffer(capacity: FormReader.pieceByteCount)
        var frame: [UInt8] = []
        if !isStarted {
            isStarted = true
            writer.appendHead(of: UploadEntry(kind: .file, path: path), to: &frame)
            buffer.append(frame)
            frame = []
        }
        let start = buffer.byteCount
        let room = FormReader.pieceByteCount - start
        let wanted = status.map { min(room, $0.byteCount - sentByteCount) } ?? room
        let count = try buffer.append(atMost: wanted) { try StandardInput.fill($0, from: file) }
        sentByteCount += count
        meter.byteCount += count
        try buffer.withBytes { try lookForRoots(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        if let status {
            guard count == wanted else { throw FileChanged(path: file.path) }
            try status.checkUnchanged(file)
        }
        if status.map({ sentByteCount == $0.byteCount }) ?? (count < wanted) {
            writer.appendEnd(to: &frame)
            buffer.append(frame)
            isEnded = true
        }
        return buffer
    }

    private func lookForRoots(_ bytes: UnsafeRawBufferPointer) throws {
        guard header != nil else { return }
        var rest = bytes
        if case .header(let found)? = try header?.next(from: &rest) {
            roots = found.roots
            header = nil
        }
    }
}
