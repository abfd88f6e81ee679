import ImportPipeline
import Importer
import IngestAPI
import IngestClient
import PosixIO

/// The body of an upload: the form as it is read, with every piece also fed to an import of our own,
/// which tells what root the service has to come to.
///
/// It can be sent again from any offset: what was read before is read once more, as far as the service
/// lacks it, and the import goes on where it was. A thread reads ahead while the piece before is being
/// sent.
///
/// `@unchecked Sendable`: the transport asks for one piece at a time, and the command looks at the
/// result, or begins anew, only when the transport leaves it alone.
final class UploadBody: SourceBody, @unchecked Sendable {
    /// Pieces read before they are wanted.
    private static let readAheadCount = 2

    private let makeReader: () throws -> FormReader
    private let readers: WorkerPool
    private let pipeline: ImportPipeline
    private let meter: ProgressMeter
    private var reader: FormReader
    private var ahead: [Completion<FormPiece?>] = []
    /// Pieces that this reader was asked for.
    private var askedCount = 0
    /// Pieces that it has given, and where the last one ends in the form.
    private var takenCount = 0
    private var position: UInt64 = 0
    /// Where the pieces end that the import has got.
    private var fedEnds: [UInt64] = []
    /// Bytes of the form that the service has.
    private var start: UInt64 = 0
    /// The first piece it does not have, when that is at hand.
    private var held: TransferBuffer?
    private var isComplete = false

    let byteCount: UInt64?

    init(
        byteCount: UInt64?, pipeline: ImportPipeline, meter: ProgressMeter,
        makeReader: @escaping () throws -> FormReader
    ) throws {
        self.byteCount = byteCount
        self.makeReader = makeReader
        self.pipeline = pipeline
        self.meter = meter
        reader = try makeReader()
        readers = try WorkerPool(name: "read", threadCount: 1)
    }

    /// What comes before `offset` has been imported on return.
    func begin(at offset: UInt64) async throws {
        if askedCount > 0 { try await restart() }
        start = offset
        held = try await advance()
    }

    func next() async throws -> TransferBuffer? {
        if let held {
            self.held = nil
            return held
        }
        return try await advance()
    }

    private func restart() async throws {
        await drain()
        reader = try makeReader()
        (askedCount, takenCount, position, isComplete) = (0, 0, 0, false)
    }

    /// Goes on to the next piece that the service lacks.
    private func advance() async throws -> TransferBuffer? {
        while let piece = try await take() {
            let end = position + UInt64(piece.byteCount)
            if takenCount == fedEnds.count {
                try await pipeline.prepare()
                try feed(piece)
                fedEnds.append(end)
            } else if fedEnds[takenCount] != end {
                throw SourceChanged(at: nil)
            }
            takenCount += 1
            defer { position = end }
            guard end > start else { continue }
            meter.byteCount = Int(end)
            var buffer = piece.buffer
            if position < start { buffer.dropFirst(Int(start - position)) }
            return buffer
        }
        return nil
    }

    private func take() async throws -> FormPiece? {
        if isComplete { return nil }
        try Task.checkCancellation()
        while ahead.count < Self.readAheadCount {
            let isWanted = askedCount >= fedEnds.count || fedEnds[askedCount] > start
            askedCount += 1
            ahead.append(
                readers.start { [reader] in try reader.next(readingContent: isWanted) })
        }
        let oldest = ahead.removeFirst()
        let piece = try await oldest.value()
        isComplete = piece == nil
        return piece
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

    func finish(_ answer: AddedOutput) async throws -> ImportedEntry {
        // The last piece is known to be the last only when another one was asked for.
        if !isComplete { _ = try await next() }
        guard isComplete else {
            throw ClientError.notUnderstood(
                address: "the service", what: "it named a root before it had everything")
        }
        return try await pipeline.finish()
    }

    func abandon() async {
        // What comes from there may let its reader wait for ever.
        if byteCount == nil { StandardInput.giveUp() }
        await drain()
        await pipeline.abandon()
    }

    private func drain() async {
        // Nobody wants these pieces any more; what their reading says changes nothing.
        for one in ahead { _ = try? await one.value() }
        ahead = []
    }

    var omissions: [WalkOmissions] { reader.omissions }
}
