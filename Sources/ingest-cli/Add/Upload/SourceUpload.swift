import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO

/// Adds one source through a service: files and directories, a CAR file, or standard input.
///
/// What is long goes as an upload that is gone on with after any failure; by another process, too, where
/// it can be read again. What is short goes as one request.
struct SourceUpload {
    /// Shorter forms are sent again as a whole sooner than two more requests are made.
    private static let resumableByteCount: UInt64 = 16 << 20

    let input: AddInput
    let parameters: AddParameters
    let client: ServiceClient
    let workshop: ImportWorkshop
    let style: AddOutputStyle
    let bar: ProgressBar
    let resume: AddCommand.Resume
    /// Where an open upload of this source may be remembered: what makes it the same.
    let identity: [String]
    let retries: Retries
    let pace: SendPace?

    private var isArchive: Bool { parameters.format == .car }

    struct Outcome {
        let root: ImportedEntry
        let omissions: [WalkOmissions]
    }

    /// What one upload is made with.
    private struct Work {
        /// Of the form.
        let seed: [UInt64]
        let contentType: String
        var body: any SourceBody
        let meter: ProgressMeter
        let log: EntryLog
    }

    /// Uploads, and prints all entries but the root.
    func run() async throws -> Outcome {
        let manifest = try input.makeManifest(MultipartWriter(seed: (0, 0)))
        guard resume == .auto else {
            return try await inOneRequest(
                try makeWork(manifest, isForm: true), isRepeatable: false)
        }
        guard let manifest else { return try await stream() }
        guard manifest.bodyByteCount >= Self.resumableByteCount else {
            return try await inOneRequest(try makeWork(manifest, isForm: true), isRepeatable: true)
        }
        let memory = try remember()
        let known = try await known(memory, manifest)
        return try await inPieces(
            try makeWork(manifest, isForm: !isArchive, seed: known?.seed), known?.upload,
            memory, fingerprints: manifest.fingerprints)
    }

    /// What cannot be read again is kept in memory until the service has it.
    private func stream() async throws -> Outcome {
        var work = try makeWork(nil, isForm: !isArchive)
        let body = StreamBody(work.body)
        work.body = body
        if isArchive { return try await inPieces(work) }
        do {
            try await bar.showing(work.meter, totalByteCount: nil) {
                try await body.readAhead(Self.resumableByteCount)
            }
        } catch {
            await body.abandon()
            throw error
        }
        return body.byteCount == nil
            ? try await inPieces(work) : try await inOneRequest(work, isRepeatable: true)
    }

    /// - Parameters:
    ///   - upload: The upload to go on with, if it is open.
    ///   - memory: Where it is remembered for the next process.
    private func inPieces(
        _ work: Work, _ upload: String? = nil, _ memory: SavedUploads? = nil,
        fingerprints: [UInt64] = []
    ) async throws -> Outcome {
        let (body, meter, byteCount) = (work.body, work.meter, work.body.byteCount)
        var (upload, memory) = (upload, memory)
        var retries = retries
        do {
            let root = try await bar.showing(meter, totalByteCount: byteCount.map { Int($0) }) {
                let id: String
                if let upload {
                    id = upload
                } else {
                    id = try await retries.run {
                        try await client.openUpload(
                            parameters, isArchive ? .car : .multipart,
                            contentType: isArchive ? nil : work.contentType, byteCount: byteCount,
                            key: "\(work.seed[0])-\(work.seed[1])")
                    }
                    upload = id
                    if let byteCount, let saved = memory {
                        do {
                            try saved.save(
                                SavedUpload(
                                    upload: id, seed: work.seed, bodyByteCount: byteCount,
                                    fingerprints: fingerprints))
                        } catch let error as IOError {
                            Self.warnOfForgetting(error)
                            memory = nil
                        }
                    }
                }
                retries.noteProgress()
                let answer = try await ResumingTransfer(
                    client: client, upload: id, body: body, pace: pace, meter: meter,
                    retries: retries, isWatched: bar.isShown
                ).run()
                let root = try await body.finish(answer)
                Self.forget(memory)
                try Self.check(answer, is: root.cid)
                // There is nothing to go on with, whatever becomes of the output.
                upload = nil
                return root
            }
            try work.log.closeBefore(root)
            return Outcome(root: root, omissions: body.omissions)
        } catch {
            await body.abandon()
            if let upload { throw await outcome(of: error, upload, memory) }
            throw error
        }
    }

    /// - Parameter isRepeatable: The request is made again after a failure that passes.
    private func inOneRequest(_ work: Work, isRepeatable: Bool) async throws -> Outcome {
        var retries = retries
        let body = work.body
        do {
            let root = try await bar.showing(
                work.meter, totalByteCount: body.byteCount.map { Int($0) }
            ) {
                let send = {
                    try await client.add(
                        parameters, contentType: work.contentType, byteCount: body.byteCount,
                        body: Throttle.body(body, pace))
                }
                let answer =
                    if isRepeatable {
                        try await retries.run {
                            try await body.begin(at: 0)
                            return try await send()
                        }
                    } else {
                        try await send()
                    }
                let root = try await body.finish(answer)
                try Self.check(answer, is: root.cid)
                return root
            }
            try work.log.closeBefore(root)
            return Outcome(root: root, omissions: body.omissions)
        } catch {
            await body.abandon()
            throw error
        }
    }

    /// - Parameters:
    ///   - manifest: Of what can be read again.
    ///   - isForm: An archive is sent alone otherwise.
    private func makeWork(
        _ manifest: SourceManifest?, isForm: Bool, seed: [UInt64]? = nil
    ) throws -> Work {
        let seed = seed ?? [.random(in: 0...UInt64.max), .random(in: 0...UInt64.max)]
        let writer = MultipartWriter(seed: (high: seed[0], low: seed[1]))
        let (meter, log) = (ProgressMeter(), EntryLog(style))
        let body: any SourceBody
        if isArchive {
            body = try ArchiveBody(
                input, manifest, form: isForm ? writer : nil, meter: meter)
        } else {
            body = try UploadBody(
                byteCount: manifest?.bodyByteCount,
                pipeline: try workshop.makePipeline(try parameters.importOptions(), sink: log),
                meter: meter
            ) { [input] in try FormReader(input, writer, manifest) }
        }
        return Work(
            seed: seed, contentType: writer.contentType, body: body, meter: meter, log: log)
    }

    private static func check(_ answer: AddedOutput, is root: CID) throws {
        let text = answer.cid ?? "(none)"
        // A text that is no CID is a different root, whatever else is wrong with it.
        guard let found = try? CID(text), found.asV1 == root.asV1 else {
            throw VerificationError.differentRoot(ours: root, service: text)
        }
    }

    // MARK: - Uploads of processes before this one

    private func remember() throws -> SavedUploads? {
        do {
            return try SavedUploads(identity)
        } catch let error as IOError {
            Self.warnOfForgetting(error)
            return nil
        }
    }

    private static func warnOfForgetting(_ error: IOError) {
        Console.shared.printError(
            "ingest-cli: the upload cannot be gone on with by another process: \(error)")
    }

    private static func forget(_ memory: SavedUploads?) {
        do {
            try memory?.remove()
        } catch {
            // What matters has been said, or is about to be.
            Console.shared.printError("ingest-cli: notes of this upload stay: \(error)")
        }
    }

    /// The upload that is to be gone on with, if there is one.
    private func known(
        _ memory: SavedUploads?, _ manifest: SourceManifest
    ) async throws -> SavedUpload? {
        guard let memory, let saved = try memory.load(), saved.seed.count == 2 else { return nil }
        let old = SourceManifest(
            bodyByteCount: saved.bodyByteCount, fingerprints: saved.fingerprints)
        if let change = try input.firstChange(since: old, now: manifest) {
            Console.shared.printError(
                "ingest-cli: upload \(saved.upload) of this source is given up, and another one begun: "
                    + change.what)
            await abort(saved.upload)
            return nil
        }
        do {
            var retries = retries
            switch try await retries.run({ try await client.position(of: saved.upload) }) {
            case .complete(let root):
                // Who stored it may have removed it since.
                _ = try await retries.run { try await client.allocation(root) }
                Console.shared.printError("ingest-cli: upload \(saved.upload) is complete")
            case .open(let offset):
                Console.shared.printError(
                    "ingest-cli: going on with upload \(saved.upload) from byte \(offset) of "
                        + "\(saved.bodyByteCount)")
            }
            return saved
        } catch ClientError.refused(let document)
            where document.status == 404 || document.status == 410
        {
            Console.shared.printError(
                "ingest-cli: another upload is begun, for the one before is gone: \(document.message)"
            )
            return nil
        }
    }

    /// What to tell of a failure, and what becomes of the upload.
    private func outcome(
        of error: any Error, _ upload: String, _ memory: SavedUploads?
    ) async -> any Error {
        let outcome = CommandOutcome(error)
        let isOver: Bool
        switch error {
        case is SourceChanged, is FileChanged, is FileOfUnknownSize, is CARError:
            await abort(upload)
            isOver = true
        case is VerificationError: isOver = true
        case let error as ClientError: isOver = error.endsUpload
        default: isOver = false
        }
        if isOver {
            Self.forget(memory)
            return outcome
        }
        guard memory != nil else {
            await abort(upload)
            return outcome
        }
        let reason =
            error is CancellationError ? "interrupted" : outcome.message ?? "the output was closed"
        return CommandOutcome(
            outcome.code,
            "\(reason); upload \(upload) keeps what has arrived; run the same command to go on, or "
                + "ingest-cli uploads abort \(upload) to give it up")
    }

    /// Nobody can send its rest any more. A service that cannot be told gives it up by itself, later.
    private func abort(_ upload: String) async {
        // Not cancelled with what is cancelled here.
        await Task { [client] in try? await client.abortUpload(upload) }.value
    }
}
