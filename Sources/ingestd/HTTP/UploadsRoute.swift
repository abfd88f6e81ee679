import ClusterCore
import HTTPTypes
import Hummingbird
import Importer
import IngestAPI
import Multiformats
import Pinset
import ShardPlanner

/// `/uploads`: uploads that are sent in pieces, by either protocol of `UploadDialect`.
struct UploadsRoute: Sendable {
    let uploads: OpenUploads
    let maker: UploadMaker
    let slots: UploadSlots
    let metrics: DaemonMetrics

    // MARK: - Requests

    func limits() -> Response {
        Response(status: .noContent, headers: UploadDialect.limits(lease: uploads.leaseSeconds))
    }

    /// `POST /uploads`.
    func open(
        _ request: Request, _ target: RequestTarget, _ context: APIContext
    ) async throws -> Response {
        let dialect = try UploadDialect(request)
        try dialect.checkOpening(request)
        var opening = try opening(request, target, dialect)
        let given = try Self.idempotentID(request)
        try await maker.checkLog()
        let isLast = Self.isLast(request)
        let isAppending =
            Self.hasContent(request) || isLast || dialect == .tus && opening.length == 0
        var isKnown = false
        if let given, try await isOpened(given) {
            isKnown = true
            if let answer = try await elsewhere(given, request, context) { return answer }
            if !isAppending {
                return try await created(given, standing(given, dialect, endsAtLength: false))
            }
        }
        // What is refused leaves no upload that nobody knows of.
        let slot = isAppending ? try slots.take() : nil
        // What cannot fit is refused before its first byte.
        opening.length = try Self.totalLength(request, at: 0, isLast: isLast)
        let id: UploadID
        if let given, isKnown {
            // Its first request did not come to its end, or the answer to it did not.
            id = given
            if let upload = try await maker.completed(id) { return completed(upload, dialect) }
        } else {
            try await maker.checkRoom()
            id = try await uploads.open(opening, as: given ?? .random())
        }
        guard isAppending else {
            let progress = UploadResource.Progress(
                offset: 0, length: opening.length, metadata: opening.metadata)
            return created(id, dialect.fields(progress, lease: uploads.leaseSeconds))
        }
        let isFound = given != nil || dialect.knowsResumptionSupported(request)
        if dialect.knowsResumptionSupported(request) {
            let limit = UploadDialect.limitText(uploads.leaseSeconds)
            context.tell(
                UploadDialect.resumptionSupported(created(id, [.uploadLimit: limit]).headers))
        }
        do {
            var response = try await uploads.using(id) {
                try await append(
                    request, context, to: $0, at: 0, isLast: isLast, dialect, admit: { slot })
            }
            if response.status == .noContent { response.status = .created }
            for field in created(id, [:]).headers { response.headers[field.name] = field.value }
            return response
        } catch {
            if !isFound { await abandon(id, after: error) }
            throw error
        }
    }

    /// Ends an upload whose client has not been told where it is; the request may be gone already.
    private func abandon(_ id: UploadID, after error: any Error) async {
        let task = Task {
            try await uploads.using(id) {
                try await $0.abort(
                    reason: "its client was not told where it is, and failed: \(error)")
            }
        }
        do {
            try await task.value
        } catch {
            // It has ended already, or ends with its lease.
            maker.log.info(
                "an upload whose first request failed was not aborted",
                metadata: ["upload": "\(id)", "error": "\(error)"])
        }
    }

    /// Whether the same request has opened the upload before.
    private func isOpened(_ id: UploadID) async throws -> Bool {
        guard let record = try await maker.record(of: id) else { return false }
        if case .aborted(let reason, _) = record.phase {
            throw Problem(
                .uploadGone,
                "upload \(id), which this Idempotency-Key has opened, was aborted: \(reason); "
                    + "use another key")
        }
        return true
    }

    private func created(_ id: UploadID, _ fields: HTTPFields) -> Response {
        var response = Response(status: .created, headers: fields)
        response.headers[.location] = APIPath.upload(id.description)
        response.headers[.uploadID] = id.description
        return response
    }

    /// `PATCH /uploads/{id}`.
    func append(
        _ request: Request, _ text: String, _ context: APIContext
    ) async throws -> Response {
        try await here(request, text, context) { id, dialect in
            guard Self.type(of: request) == dialect.patchType else {
                throw Problem(.mediaTypeUnsupported, "send the bytes as \(dialect.patchType)")
            }
            try Self.refuseCoding(request)
            guard let offset = request.headers[.uploadOffset].flatMap(UploadFields.byteCount)
            else {
                throw Problem(
                    .badRequest,
                    "Upload-Offset must say at which byte the body goes on; HEAD tells it")
            }
            return try await using(id) {
                try await append(
                    request, context, to: $0, at: offset, isLast: Self.isLast(request), dialect,
                    admit: { try slots.take() })
            } orIfComplete: { upload in
                guard offset == upload.length else { return nil }
                try await Self.expectNothing(of: request, context, behind: upload)
                return completed(upload, dialect)
            }
        }
    }

    /// Uses an upload that is open. One that is complete, or becomes so while this waits for it, is answered for
    /// otherwise; where that gives nothing, it is an error that it is complete.
    private func using<Result: Sendable>(
        _ id: UploadID, _ body: @Sendable (UploadResource) async throws -> Result,
        orIfComplete answer: (CompleteUpload) async throws -> Result?
    ) async throws -> Result {
        if let upload = try await maker.completed(id), let result = try await answer(upload) {
            return result
        }
        do {
            return try await uploads.using(id, body)
        } catch let problem as Problem where problem.code == .uploadComplete {
            guard let upload = try await maker.completed(id), let result = try await answer(upload)
            else { throw problem }
            return result
        }
    }

    /// - Throws: When the body of a request at the end of a complete upload is not empty.
    private static func expectNothing(
        of request: Request, _ context: APIContext, behind upload: CompleteUpload
    ) async throws {
        guard hasContent(request) else { return }
        context.acceptBody()
        for try await piece in request.body where piece.readableBytes > 0 {
            throw Problem(
                .uploadComplete,
                "the upload is complete with \(upload.length) bytes; its root is \(upload.root)")
        }
    }

    /// `HEAD /uploads/{id}`: where the upload stands. Ends an append under way.
    func describe(
        _ request: Request, _ text: String, _ context: APIContext
    ) async throws -> Response {
        try await here(request, text, context) { id, dialect in
            var response = Response(status: .ok)
            if try await !maker.isSingleRequest(id) {
                response.headers = try await standing(id, dialect, endsAtLength: dialect == .tus)
            }
            response.headers[.cacheControl] = "no-store"
            return response
        }
    }

    /// What is said of an upload that is not complete: its lease began when something was sent last.
    private func fields(
        _ id: UploadID, _ progress: UploadResource.Progress, _ dialect: UploadDialect
    ) async throws -> HTTPFields {
        let left = uploads.leaseSeconds - (try await maker.untouchedSeconds(id))
        return dialect.fields(progress, lease: max(0, left))
    }

    /// What is said of an upload, complete or not.
    private func standing(
        _ id: UploadID, _ dialect: UploadDialect, endsAtLength: Bool
    ) async throws -> HTTPFields {
        try await using(id) {
            let (progress, root) = try await $0.progress(endsAtLength: endsAtLength)
            guard let root else { return try await fields(id, progress, dialect) }
            return dialect.fields(CompleteUpload(progress, root.cid))
        } orIfComplete: {
            dialect.fields($0)
        }
    }

    /// `DELETE /uploads/{id}`.
    func abort(
        _ request: Request, _ text: String, _ context: APIContext
    ) async throws -> Response {
        try await here(request, text, context) { id, dialect in
            try await uploads.using(id) {
                try await $0.abort(reason: "the client has aborted it")
            }
            return dialect.aborted
        }
    }

    /// Answers a request for one upload, or lets the peer answer that takes the upload in.
    private func here(
        _ request: Request, _ text: String, _ context: APIContext,
        answer: (UploadID, UploadDialect) async throws -> Response
    ) async throws -> Response {
        let dialect = try UploadDialect(request)
        guard let id = UploadID(text) else {
            throw Problem(
                .uploadNotFound, "there is no upload '\(text.prefix(64))', or it ended long ago")
        }
        if let there = try await elsewhere(id, request, context) { return there }
        return try await answer(id, dialect)
    }

    /// The answer of the peer that takes an upload in; `nil` when that is this one.
    private func elsewhere(
        _ id: UploadID, _ request: Request, _ context: APIContext
    ) async throws -> Response? {
        guard let client = maker.client, let other = try await otherCoordinator(of: id) else {
            return nil
        }
        let forwarded = ForwardedRequest(request: request, context: context)
        return try await forwarded.send(to: other, by: client)
    }

    private func otherCoordinator(of id: UploadID) async throws -> PeerRecord? {
        try await maker.peer.driver.read { [own = maker.peer.id] state in
            state.upload(id).flatMap { upload in
                let coordinator = upload.options.coordinator
                return coordinator == own ? nil : state.peer(coordinator)
            }
        }
    }

    // MARK: - Appending

    private func append(
        _ request: Request, _ context: APIContext, to resource: UploadResource, at offset: Int,
        isLast: Bool, _ dialect: UploadDialect, admit: @escaping @Sendable () throws -> UploadSlot?
    ) async throws -> Response {
        let length = try Self.totalLength(request, at: offset, isLast: isLast)
        let body = UploadBody(request.body, isCompressed: false) { [metrics] count in
            metrics.received(count)
        }
        let tellsOffsets = dialect.knowsResumptionSupported(request)
        let (progress, root) = try await resource.append(
            body, at: offset, length: length, isLast: isLast, endsAtLength: dialect == .tus,
            from: UploadResource.Sender(
                admit: admit,
                accept: { context.acceptBody() },
                wasWhole: { await context.bodyWasWhole() },
                acknowledged: { offset in
                    guard tellsOffsets else { return }
                    context.tell(UploadDialect.resumptionSupported([.uploadOffset: "\(offset)"]))
                },
                interrupt: { context.channel.close(promise: nil) }))
        guard let root else {
            return Response(
                status: .noContent, headers: try await fields(resource.id, progress, dialect))
        }
        var line: [UInt8] = []
        AddedOutput.appendLine(
            name: root.path, cid: root.cid, size: root.cumulativeByteCount, to: &line)
        return dialect.response(
            CompleteUpload(progress, root.cid), line: line)
    }

    /// An upload was complete before: the answer did not reach the client.
    private func completed(_ upload: CompleteUpload, _ dialect: UploadDialect) -> Response {
        let line = Array("{\"cid\":\"\(upload.root)\"}\n".utf8)
        return dialect.response(upload, line: line)
    }

    // MARK: - Opening

    private func opening(
        _ request: Request, _ target: RequestTarget, _ dialect: UploadDialect
    ) throws -> UploadOpening {
        try Self.refuseCoding(request)
        let now = WallTime.now
        var items = try QueryString.parse(target.query)
        if !items.contains(where: { $0.name == "filename" }),
            let name = try dialect.filename(request)
        {
            items.append(QueryItem(name: "filename", value: name))
        }
        let parameters = try UploadParameters(parsing: items, now: now)
        _ = try parameters.add.importOptions()
        var boundary: String?
        if parameters.format == .multipart {
            let found = try MultipartBoundary(contentType: request.headers[.contentType])
            boundary = String(decoding: found.bytes, as: UTF8.self)
        }
        return UploadOpening(
            query: QueryString.encode(parameters.add.queryItems), filename: parameters.filename,
            boundary: boundary, openedAt: now, length: try Self.length(request),
            metadata: dialect == .tus ? request.headers[.uploadMetadata] : nil)
    }

    // MARK: - Header fields

    /// The ID of the upload that a request with an `Idempotency-Key` opens, however often it comes.
    private static func idempotentID(_ request: Request) throws -> UploadID? {
        guard let key = request.headers[.idempotencyKey] else { return nil }
        guard (1...256).contains(key.utf8.count) else {
            throw Problem(.badRequest, "Idempotency-Key must have 1 to 256 bytes")
        }
        let digest = try Array("upload \(key)".utf8).withUnsafeBytes {
            try BlockHasher(.sha2_256).digest($0)
        }
        return UploadID(bytes: digest[..<16])
    }

    private static func hasContent(_ request: Request) -> Bool {
        request.headers[.transferEncoding] != nil
            || request.headers[.contentLength].map { $0 != "0" } ?? false
    }

    private static func type(of request: Request) -> String? {
        request.headers[.contentType]?.split(separator: ";").first?
            .trimmingCharacters(in: .whitespaces).lowercased()
    }

    private static func isLast(_ request: Request) -> Bool {
        request.headers[.uploadComplete].map(UploadFields.isTrue) ?? false
    }

    private static func length(_ request: Request) throws -> Int? {
        guard let text = request.headers[.uploadLength] else { return nil }
        guard let length = UploadFields.byteCount(text) else {
            throw Problem(.badRequest, "Upload-Length must be a number of bytes")
        }
        return length
    }

    /// The length of the whole upload, where a request that appends tells it.
    private static func totalLength(
        _ request: Request, at offset: Int, isLast: Bool
    ) throws -> Int? {
        let length = try length(request)
        guard isLast, let rest = request.headers[.contentLength].flatMap({ Int($0) }) else {
            return length
        }
        let (total, overflows) = offset.addingReportingOverflow(rest)
        guard !overflows, length == nil || length == total else {
            throw Problem(
                .lengthMismatch, "Upload-Length and Content-Length do not tell the same length")
        }
        return total
    }

    private static func refuseCoding(_ request: Request) throws {
        guard let coding = request.headers[.contentEncoding], coding.lowercased() != "identity"
        else { return }
        throw Problem(
            .encodingUnsupported,
            "offsets count the bytes as they are; send them without Content-Encoding '\(coding)'")
    }
}

extension CompleteUpload {
    fileprivate init(_ progress: UploadResource.Progress, _ root: CID) {
        self.init(root: root, length: progress.offset, metadata: progress.metadata)
    }
}
