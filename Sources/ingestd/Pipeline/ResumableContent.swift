import ImportPipeline
import Importer
import IngestAPI
import Multiformats
import NIOCore

/// Where the reading of an upload's body stands, as its journal keeps it.
struct BodyReading: Codable {
    /// Of a form.
    var form: UploadReader.State?
    /// Of a CAR.
    var archive: CARReader.State?
    /// Bytes of the whole upload, if the client has said that.
    var length: Int?
}

/// What the body of an upload holds, when the upload can go on in another process.
protocol ResumableContent: UploadContent {
    /// Settles all that can be settled.
    func checkpoint() async throws -> ImportCheckpoint
    var reading: BodyReading { get }
    /// Repeats steps that were settled before, encoded as `checkpoint` gave them.
    func replay(_ records: [UInt8]) async throws
    /// Goes on behind what was repeated.
    ///
    /// - Parameters:
    ///   - reading: What `reading` was.
    ///   - tail: That of the last checkpoint.
    ///   - contentByteCount: What `contentByteCount` was.
    func resume(_ reading: BodyReading, tail: [UInt8], contentByteCount: Int) async throws
}

extension FileTreeContent: ResumableContent {
    var reading: BodyReading { BodyReading(form: reader.state) }

    func checkpoint() async throws -> ImportCheckpoint { try await pipeline.checkpoint() }

    func replay(_ records: [UInt8]) async throws {
        for record in try ImportRecord.decodeAll(records) { try await pipeline.replay(record) }
    }

    func resume(_ reading: BodyReading, tail: [UInt8], contentByteCount: Int) async throws {
        if let form = reading.form { reader = UploadReader(boundary: boundary, resuming: form) }
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
    var reading: BodyReading { BodyReading() }

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

    func replay(_ records: [UInt8]) async throws {
        for record in try ImportRecord.decodeAll(records) {
            if case .beginFile = record { isBegun = true }
            try await pipeline.replay(record)
        }
    }

    func resume(_ reading: BodyReading, tail: [UInt8], contentByteCount: Int) async throws {
        try await pipeline.resume(tail: tail)
    }

    private func begin() {
        guard !isBegun else { return }
        isBegun = true
        pipeline.beginFile(path, EntryMetadata.none)
    }
}
