import ImportPipeline
import Importer
import IngestAPI
import NIOCore

/// What the body of an upload holds, when the upload can go on in another process.
protocol ResumableContent: UploadContent {
    /// Settles all that can be settled.
    func checkpoint() async throws -> ImportCheckpoint
    /// Where the reading of the body stands, if it has a form.
    var form: UploadReader.State? { get }
    /// Repeats a step that was settled before.
    func replay(_ record: ImportRecord) async throws
    /// Goes on behind what was repeated.
    ///
    /// - Parameters:
    ///   - form: What `form` was.
    ///   - tail: That of the last checkpoint.
    func resume(form: UploadReader.State?, tail: [UInt8]) async throws
}

extension FileTreeContent: ResumableContent {
    var form: UploadReader.State? { reader.state }

    func checkpoint() async throws -> ImportCheckpoint { try await pipeline.checkpoint() }

    func replay(_ record: ImportRecord) async throws { try await pipeline.replay(record) }

    func resume(form: UploadReader.State?, tail: [UInt8]) async throws {
        if let form { reader = UploadReader(boundary: boundary, resuming: form) }
        try await pipeline.resume(tail: tail)
    }
}

/// The bytes of one file, without a form around them.
final class RawFileContent: ResumableContent {
    private let pipeline: ImportPipeline
    private let path: ImportPath
    private var isBegun = false

    /// - Parameter name: Of the file; may be empty.
    init(name: String, pipeline: ImportPipeline) throws {
        self.pipeline = pipeline
        path = try ImportPath.cleaning(Array(name.utf8))
    }

    var contentByteCount: UInt64 { pipeline.contentByteCount }
    var form: UploadReader.State? { nil }

    func prepare() async throws {
        try await pipeline.prepare()
    }

    func take(_ piece: ByteBuffer) throws {
        begin()
        try piece.withUnsafeReadableBytes { try pipeline.append($0) }
    }

    func finish() async throws -> ImportedEntry {
        try await pipeline.prepare()
        begin()
        try pipeline.endFile()
        return try await pipeline.finish()
    }

    func abandon() async {
        await pipeline.abandon()
    }

    func checkpoint() async throws -> ImportCheckpoint { try await pipeline.checkpoint() }

    func replay(_ record: ImportRecord) async throws {
        if case .beginFile = record { isBegun = true }
        try await pipeline.replay(record)
    }

    func resume(form: UploadReader.State?, tail: [UInt8]) async throws {
        try await pipeline.resume(tail: tail)
    }

    private func begin() {
        guard !isBegun else { return }
        isBegun = true
        pipeline.beginFile(path, EntryMetadata.none)
    }
}
