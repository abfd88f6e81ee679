import ClusterCore
import HTTPTypes
import Hummingbird
import ImportPipeline
import Importer
import IngestAPI
import Logging
import Multiformats
import NIOCore
import Pinset
import ShardPlanner

extension HTTPField.Name {
    static let streamError = HTTPField.Name("X-Stream-Error")!
    static let uploadID = HTTPField.Name("Upload-ID")!
    static let requestID = HTTPField.Name("X-Request-ID")!
    static let trailer = HTTPField.Name("Trailer")!
}

/// `POST /add` and `POST /api/v0/add`: one upload, from its first byte to its root.
struct AddRoute: Sendable {
    let maker: UploadMaker
    let slots: UploadSlots
    let metrics: DaemonMetrics
    private var peer: LocalPeer { maker.peer }
    private var log: Logger { maker.log }

    init(maker: UploadMaker, slots: UploadSlots, metrics: DaemonMetrics) {
        self.maker = maker
        self.slots = slots
        self.metrics = metrics
    }

    func respond(
        to request: Request, target: RequestTarget, context: APIContext, dialect: AnswerDialect
    ) async throws -> Response {
        let now = WallTime.now
        let parameters = try AddParameters(parsing: QueryString.parse(target.query), now: now)
        let options = try parameters.importOptions()
        let boundary = try MultipartBoundary(contentType: request.headers[.contentType])
        let isCompressed = try Self.isCompressed(request.headers[.contentEncoding])
        try await maker.checkLog()
        let slot = try slots.take()
        let id = UploadID.random()
        let lines = AnswerLines(
            dialect: dialect, streams: parameters.streamsOutput, scratch: peer.scratch)
        let length = request.headers[.contentLength].flatMap { Int($0) }
        let session = try await UploadSession(
            peer: peer, client: maker.client, id: id,
            options: try maker.options(
                parameters, expectedByteCount: isCompressed ? nil : length),
            log: log, report: lines.add)
        let content: any UploadContent
        let body: UploadBody
        do {
            content = try makeContent(
                parameters.format, options, boundary, session,
                parameters.reportsProgress && parameters.streamsOutput
                    ? ProgressReport(lines.addProgress) : nil)
            body = UploadBody(request.body, isCompressed: isCompressed) { [metrics] count in
                metrics.received(count)
            }
        } catch {
            await session.abort(reason: "\(error)")
            throw error
        }
        context.acceptBody()
        let upload = AddRequest(
            body: body, content: content, session: session, lines: lines, slot: slot)
        let isComplete = try await upload.advance()
        var response =
            isComplete && !lines.isLong
            ? try finished(lines) : streaming(upload, isComplete: isComplete)
        response.headers[.uploadID] = id.description
        response.headers[.contentType] = "application/json"
        return response
    }

    private func makeContent(
        _ format: AddParameters.Format, _ options: ImportOptions, _ boundary: MultipartBoundary,
        _ session: UploadSession, _ progress: ProgressReport?
    ) throws -> any UploadContent {
        switch format {
        case .unixfs:
            FileTreeContent(
                boundary: boundary, pipeline: try maker.makePipeline(options, session),
                progress: progress)
        case .car:
            ArchiveContent(boundary: boundary, archive: maker.makeArchiveImport(session))
        }
    }

    private static func isCompressed(_ encoding: String?) throws -> Bool {
        switch encoding?.lowercased() {
        case nil, "identity": return false
        case "gzip", "x-gzip": return true
        default:
            throw Problem(
                .encodingUnsupported,
                "Content-Encoding '\(encoding ?? "")' is not supported; send gzip or nothing")
        }
    }

    /// The whole answer is here.
    private func finished(_ lines: AnswerLines) throws -> Response {
        Response(status: .ok, body: ResponseBody(byteBuffer: try lines.takeReady()))
    }

    /// The answer has begun; an error from here on is its last line and the trailer.
    private func streaming(_ upload: AddRequest, isComplete: Bool) -> Response {
        let body = ResponseBody { [log] writer in
            func writeReady() async throws {
                while upload.lines.isLong { try await writer.write(upload.lines.takeReady()) }
                try await writer.write(upload.lines.takeReady())
            }
            var isComplete = isComplete
            do {
                while !isComplete {
                    try await writeReady()
                    isComplete = try await upload.advance()
                }
                try await writeReady()
                try await writer.finish(nil)
            } catch {
                guard !isComplete else { throw error }
                // Whether the client still listens is not known; the upload is aborted either way.
                await upload.abort(error)
                let problem = Problem(error)
                log.info("upload failed", metadata: ["error": "\(problem.message)"])
                upload.lines.closeWith(problem)
                try await writeReady()
                try await writer.finish([.streamError: problem.headerText])
            }
        }
        return Response(status: .ok, headers: [.trailer: "X-Stream-Error"], body: body)
    }
}
