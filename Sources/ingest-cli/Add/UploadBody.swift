import ImportPipeline
import Importer
import IngestClient
import PosixIO

/// The body of an upload: the form as it is read, with every piece also fed to an import of our own,
/// which tells what root the service has to come to.
///
/// A thread reads ahead while the piece before is being sent.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time, and the command looks at the
/// result only after the upload has ended.
final class UploadBody: RequestBodySource, @unchecked Sendable {
    /// Pieces read before they are wanted.
    private static let readAheadCount = 2

    private let reader: FormReader
    private let readers: WorkerPool
    private let pipeline: ImportPipeline
    private let meter: ProgressMeter
    private var ahead: [Completion<FormPiece?>] = []
    private var isComplete = false

    init(_ reader: FormReader, pipeline: ImportPipeline, meter: ProgressMeter) throws {
        self.reader = reader
        self.pipeline = pipeline
        self.meter = meter
        readers = try WorkerPool(name: "read", threadCount: 1)
    }

    func next() async throws -> TransferBuffer? {
        if isComplete { return nil }
        while ahead.count < Self.readAheadCount {
            ahead.append(readers.start { [reader] in try reader.next() })
        }
        let oldest = ahead.removeFirst()
        guard let piece = try await oldest.value() else {
            isComplete = true
            return nil
        }
        try await pipeline.prepare()
        try feed(piece)
        meter.add(piece.contentByteCount)
        return piece.buffer
    }

    private func feed(_ piece: FormPiece) throws {
        for step in piece.steps {
            switch step {
            case .beginFile(let path, let metadata): pipeline.beginFile(path, metadata)
            case .data(let range):
                try piece.buffer.withBytes { bytes in
                    try pipeline.append(UnsafeRawBufferPointer(rebasing: bytes[range]))
                }
            case .endFile: try pipeline.endFile()
            case .directory(let path, let metadata): pipeline.addDirectory(path, metadata)
            case .symlink(let path, let target, let metadata):
                pipeline.addSymlink(path, target: target, metadata)
            }
        }
    }

    /// The service has answered: our own root.
    func finish() async throws -> ImportedEntry {
        // The last piece is known to be the last only when another one was asked for.
        if !isComplete { _ = try await next() }
        guard isComplete else {
            throw ClientError.notUnderstood(
                address: "the service", what: "it named a root before it had everything")
        }
        return try await pipeline.finish()
    }

    /// The upload failed: waits until nothing works on it any more.
    func abandon() async {
        // The upload has failed already; what these reads say changes nothing.
        for one in ahead { _ = try? await one.value() }
        await pipeline.abandon()
    }

    /// What was left out of the upload; to be asked once everything has been read.
    var omissions: [WalkOmissions] { reader.omissions }
}
