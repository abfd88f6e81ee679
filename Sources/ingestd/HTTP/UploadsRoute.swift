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
        var opening = try opening(request, target, dialect)
        let given = try Self.idempotentID(request)
        try await maker.checkLog()
        let isLast = Self.isLast(request)
        let isAppending =
            Self.hasContent(request) || isLast || dialect == .tus && opening.length == 0
        var isKnown = false
        if let given { isKnown = try await isOpened(given) }
        if let given, isKnown, !isAppending { return created(given) }
        // What is refused leaves no upload that nobody knows of.
        let slot = isAppending ? try slots.take() : nil
        defer { withExtendedLifetime(slot) {} }
        // What cannot fit is refused before its first byte.
        opening.length = try Self.totalLength(request, at: 0, isLast: isLast)
        let id: UploadID
        if let given, isKnown {
            // Its first request did not come to its end, or the answer to it did not.
            id = given
            if let (length, root) = try await maker.completed(id) {
                return completed(length: length, root: root, dialect)
            }
        } else {
            try await maker.checkRoom()
            id = try await uploads.open(opening, as: given ?? .random())
        }
        var response: Response
        if isAppending {
            if dialect.knowsResumptionSupported(request) {
                var fields = created(id).headers
                fields[.uploadLimit] = UploadDialect.limitText(uploads.leaseSeconds)
                context.tell(UploadDialect.resumptionSupported(fields))
            }
            response = try await uploads.using(id) {
                try await append(request, context, to: $0, at: 0, isLast: isLast, dialect)
            }
        } else {
            response = progressing(.init(offset: 0, length: opening.length), dialect)
        }
        if response.status == .noContent { response.status = .created }
        for field in created(id).headers { response.headers[field.name] = field.value }
        return response
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

    private func created(_ id: UploadID) -> Response {
        Response(
            status: .created,
            headers: [
                .location: APIPath.upload(id.description), .uploadID: id.description,
            ])
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
            guard let offset = request.headers[.uploadOffset].flatMap({ Int($0) }), offset >= 0
            else {
                throw Problem(
                    .badRequest,
                    "Upload-Offset must say at which byte the body goes on; HEAD tells it")
            }
            if let (length, root) = try await maker.completed(id), offset == length {
                return completed(length: length, root: root, dialect)
            }
            let slot = try slots.take()
            defer { withExtendedLifetime(slot) {} }
            return try await uploads.using(id) {
                try await append(
                    request, context, to: $0, at: offset, isLast: Self.isLast(request), dialect)
            }
        }
    }

    /// `HEAD /uploads/{id}`: where the upload stands. Ends an append under way.
    func describe(
        _ request: Request, _ text: String, _ context: APIContext
    ) async throws -> Response {
        try await here(request, text, context) { id, dialect in
            var response = Response(status: .ok)
            let lease = uploads.leaseSeconds
            if let (length, root) = try await maker.completed(id) {
                response.headers = dialect.fields(
                    completedWith: "\(root)", length: length, lease: lease)
            } else if try await !maker.isSingleRequest(id) {
                let (progress, root) = try await uploads.using(id) {
                    try await $0.progress(endsAtLength: dialect == .tus)
                }
                response.headers =
                    root.map {
                        dialect.fields(
                            completedWith: "\($0.cid)", length: progress.offset, lease: lease)
                    } ?? dialect.fields(progress, lease: lease)
            }
            response.headers[.cacheControl] = "no-store"
            return response
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
        guard let client = maker.client, let other = try await otherCoordinator(of: id) else {
            return try await answer(id, dialect)
        }
        let forwarded = ForwardedRequest(
            request: request, path: APIPath.upload(id.description), context: context)
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
        isLast: Bool, _ dialect: UploadDialect
    ) async throws -> Response {
        let length = try Self.totalLength(request, at: offset, isLast: isLast)
        context.acceptBody()
        let body = UploadBody(request.body, isCompressed: false) { [metrics] count in
            metrics.received(count)
        }
        let tellsOffsets = dialect.knowsResumptionSupported(request)
        let (progress, root) = try await resource.append(
            body, at: offset, length: length, isLast: isLast, endsAtLength: dialect == .tus,
            wasWhole: { await context.bodyWasWhole() },
            acknowledged: { offset in
                guard tellsOffsets else { return }
                context.tell(UploadDialect.resumptionSupported([.uploadOffset: "\(offset)"]))
            },
            interrupt: { context.channel.close(promise: nil) })
        guard let root else { return progressing(progress, dialect) }
        var line: [UInt8] = []
        AddedOutput.appendLine(
            name: root.path, cid: root.cid, size: root.cumulativeByteCount, to: &line)
        return dialect.response(
            completedWith: "\(root.cid)", length: progress.offset, line: line,
            lease: uploads.leaseSeconds)
    }

    /// An upload was complete before: the answer did not reach the client.
    private func completed(length: Int, root: CID, _ dialect: UploadDialect) -> Response {
        let line = Array("{\"cid\":\"\(root)\"}\n".utf8)
        return dialect.response(
            completedWith: "\(root)", length: length, line: line, lease: uploads.leaseSeconds)
    }

    private func progressing(
        _ progress: UploadResource.Progress, _ dialect: UploadDialect
    ) -> Response {
        Response(
            status: .noContent, headers: dialect.fields(progress, lease: uploads.leaseSeconds))
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
            boundary: boundary, openedAt: now, length: try Self.length(request))
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

    /// `Upload-Complete`, a boolean of structured fields; what is none is as if it were not there.
    private static func isLast(_ request: Request) -> Bool {
        request.headers[.uploadComplete]?.trimmingCharacters(in: .whitespaces) == "?1"
    }

    private static func length(_ request: Request) throws -> Int? {
        guard let text = request.headers[.uploadLength] else { return nil }
        guard let length = Int(text), length >= 0 else {
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
