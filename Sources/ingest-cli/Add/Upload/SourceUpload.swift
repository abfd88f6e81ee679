import Importer
import IngestAPI
import IngestClient
import Multiformats
import PosixIO

/// Adds one source through a service: files and directories, a CAR file, or standard input.
///
/// What is long and can be read again goes as an upload that is gone on with after any failure, also by
/// another process. What is short, or comes from standard input, goes as one request.
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

    /// Uploads, and prints all entries but the root.
    func run() async throws -> Outcome {
        let manifest = try input.makeManifest(MultipartWriter(seed: (0, 0)))
        guard let manifest, resume == .auto, manifest.bodyByteCount >= Self.resumableByteCount
        else {
            return try await inOneRequest(manifest)
        }
        let memory = try remember()
        let known = try await known(memory, manifest)
        let seed = known?.seed ?? [.random(in: 0...UInt64.max), .random(in: 0...UInt64.max)]
        let writer = MultipartWriter(seed: (high: seed[0], low: seed[1]))
        let meter = ProgressMeter()
        let log = EntryLog(style)
        let body = try makeBody(writer, manifest, meter, log, isForm: !isArchive)
        guard let byteCount = body.byteCount else {
            preconditionFailure("what can be read again has a length")
        }
        var upload = known?.upload
        var retries = retries
        do {
            let root = try await bar.showing(
                meter, totalByteCount: Int(byteCount)
            ) {
                let id: String
                if let known {
                    id = known.upload
                } else {
                    id = try await retries.run {
                        try await client.openUpload(
                            parameters, isArchive ? .car : .multipart,
                            contentType: isArchive ? nil : writer.contentType,
                            byteCount: byteCount, key: "\(seed[0])-\(seed[1])")
                    }
                    upload = id
                    try memory?.save(
                        SavedUpload(
                            upload: id, seed: seed, bodyByteCount: byteCount,
                            fingerprints: manifest.fingerprints))
                }
                retries.noteProgress()
                let answer = try await ResumingTransfer(
                    client: client, upload: id, byteCount: byteCount, body: body,
                    outgoing: Throttle.body(body, pace), meter: meter, retries: retries,
                    isWatched: bar.isShown
                ).run()
                let root = try await body.finish(answer)
                try memory?.remove()
                try Self.check(answer, is: root.cid)
                return root
            }
            try log.closeBefore(root)
            return Outcome(root: root, omissions: body.omissions)
        } catch {
            await body.abandon()
            if let upload { throw try await outcome(of: error, upload, memory) }
            throw error
        }
    }

    /// - Parameter manifest: What can be read again is sent again after a failure that passes.
    private func inOneRequest(_ manifest: SourceManifest?) async throws -> Outcome {
        var retries = retries
        let writer = MultipartWriter.random()
        let meter = ProgressMeter()
        let log = EntryLog(style)
        let body = try makeBody(writer, manifest, meter, log, isForm: true)
        do {
            let root = try await bar.showing(
                meter, totalByteCount: body.byteCount.map { Int($0) }
            ) {
                let send = {
                    try await client.add(
                        parameters, contentType: writer.contentType,
                        byteCount: body.byteCount, body: Throttle.body(body, pace))
                }
                let answer =
                    if manifest == nil || resume == .never {
                        try await send()
                    } else {
                        try await retries.run {
                            try await body.begin(at: 0)
                            return try await send()
                        }
                    }
                let root = try await body.finish(answer)
                try Self.check(answer, is: root.cid)
                return root
            }
            try log.closeBefore(root)
            return Outcome(root: root, omissions: body.omissions)
        } catch {
            await body.abandon()
            throw error
        }
    }

    private func makeBody(
        _ writer: MultipartWriter, _ manifest: SourceManifest?, _ meter: ProgressMeter,
        _ log: EntryLog, isForm: Bool
    ) throws -> any SourceBody {
        if isArchive { return try ArchiveBody(input, form: isForm ? writer : nil, meter: meter) }
        return try UploadBody(
            byteCount: manifest?.bodyByteCount,
            pipeline: try workshop.makePipeline(try parameters.importOptions(), sink: log),
            meter: meter
        ) { [input] in try FormReader(input, writer, manifest) }
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
            Console.shared.printError(
                "ingest-cli: the upload cannot be gone on with by another process: \(error)")
            return nil
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
            case .complete:
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
    ) async throws -> any Error {
        let outcome = CommandOutcome(error)
        let isOver: Bool
        switch error {
        case is SourceChanged, is FileChanged, is CARError:
            await abort(upload)
            isOver = true
        case is VerificationError: isOver = true
        case let error as ClientError: isOver = error.endsUpload
        default: isOver = false
        }
        if isOver {
            try memory?.remove()
            return outcome
        }
        guard memory != nil else {
            await abort(upload)
            return outcome
        }
        let reason = error is CancellationError ? "interrupted" : outcome.message ?? "\(error)"
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
