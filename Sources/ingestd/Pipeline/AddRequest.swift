import Hummingbird
import ImportPipeline
import Importer
import IngestAPI
import Multiformats
import NIOCore

/// One `POST /add` on its way: reads the body, feeds the import, and collects the answer's lines.
///
/// The answer begins before the body has ended when there is much of it, so the work is done in two
/// stretches by whoever drives it: first until there is enough to begin an answer, then to the end.
///
/// `@unchecked Sendable`: the first stretch runs in the request's handler, the second in the writer
/// of its answer, which Hummingbird calls after the handler has returned.
final class AddRequest: @unchecked Sendable {
    private let body: UploadBody
    private let content: any UploadContent
    private let session: UploadSession
    let lines: AnswerLines
    /// Held as long as the upload goes on.
    private let slot: UploadSlot
    /// Committed, or given up.
    private var isOver = false

    init(
        body: UploadBody, content: any UploadContent, session: UploadSession, lines: AnswerLines,
        slot: UploadSlot
    ) {
        self.body = body
        self.content = content
        self.session = session
        self.lines = lines
        self.slot = slot
    }

    /// Nobody drives it any more: the client went away between the two stretches.
    deinit {
        if isOver { return }
        nonisolated(unsafe) let (content, session) = (content, session)
        Task {
            await content.abandon()
            await session.abort(reason: "the client went away before the answer began")
        }
    }

    /// Goes on until the body has ended and the root is committed, or until there are enough lines
    /// to send.
    ///
    /// - Returns: Whether the upload is complete.
    /// - Throws: What failed; the upload is aborted then and nothing of it is left.
    func advance() async throws -> Bool {
        do {
            while let piece = try await body.next() {
                try await content.prepare()
                try await content.take(piece)
                if lines.isReady { return false }
            }
            let root = try await content.finish()
            try await session.commit(
                root: root.cid, contentByteCount: Int(content.contentByteCount))
            isOver = true
            lines.closeWith(root)
            return true
        } catch {
            await abort(error)
            throw error
        }
    }

    /// Gives the upload up, unless that has been done.
    func abort(_ error: any Error) async {
        if isOver { return }
        isOver = true
        await content.abandon()
        await session.abort(reason: Problem(error).message)
    }
}

/// What the body of an upload holds: files of a form, or an archive in one of its parts.
protocol UploadContent: AnyObject {
    /// Called before each piece; may wait.
    func prepare() async throws
    /// Takes a piece of the body of at most `ImportPipeline.maximumRunByteCount` bytes.
    func take(_ piece: ByteBuffer) async throws
    /// The body has ended.
    func finish() async throws -> ImportedEntry
    /// The upload failed; nothing may touch its memory afterwards.
    func abandon() async
    /// Bytes of files so far.
    var contentByteCount: UInt64 { get }
}

/// How far the files of an upload have come, for the lines of its answer.
final class ProgressReport {
    /// Kubo's: bytes of a file from one line to the next.
    private static let stride = 256 << 10

    private let report: (_ path: [UInt8], _ byteCount: Int) -> Void
    private var path: [UInt8] = []
    private var byteCount = 0
    private var reported = 0

    init(_ report: @escaping (_ path: [UInt8], _ byteCount: Int) -> Void) {
        self.report = report
    }

    func begin(_ path: ImportPath) {
        (self.path, byteCount, reported) = (path.joined, 0, 0)
    }

    func add(_ count: Int) {
        byteCount += count
        if byteCount - reported >= Self.stride { tell() }
    }

    func end() {
        if byteCount > reported { tell() }
    }

    private func tell() {
        reported = byteCount
        report(path, byteCount)
    }
}

/// Files, directories and symlinks, one per part.
final class FileTreeContent: UploadContent {
    let pipeline: ImportPipeline
    let boundary: MultipartBoundary
    var reader: UploadReader
    private let progress: ProgressReport?

    /// - Parameter progress: Told of the open file as it comes, unless nobody wants to know.
    init(
        boundary: MultipartBoundary, pipeline: ImportPipeline, progress: ProgressReport? = nil
    ) {
        self.pipeline = pipeline
        self.boundary = boundary
        self.progress = progress
        reader = UploadReader(boundary: boundary)
    }

    var contentByteCount: UInt64 { pipeline.contentByteCount }

    func prepare() async throws {
        try await pipeline.prepare()
    }

    func take(_ piece: ByteBuffer) async throws {
        try piece.withUnsafeReadableBytes { bytes in
            var input = bytes
            while let event = try reader.next(&input) {
                switch event {
                case .beginFile(let entry):
                    progress?.begin(entry.path)
                    pipeline.beginFile(entry.path, entry.metadata)
                case .data(let bytes):
                    try pipeline.append(bytes)
                    progress?.add(bytes.count)
                case .endFile:
                    progress?.end()
                    try pipeline.endFile()
                case .directory(let entry): pipeline.addDirectory(entry.path, entry.metadata)
                case .symlink(let entry, let target):
                    pipeline.addSymlink(entry.path, target: target, entry.metadata)
                }
            }
        }
    }

    func finish() async throws -> ImportedEntry {
        try reader.finish()
        return try await pipeline.finish()
    }

    func abandon() async {
        await pipeline.abandon()
    }
}
