import ClusterCore
import Foundation
import HTTPTypes
import Hummingbird
import Importer
import IngestAPI
import Multiformats
import NIOCore
import Pinset
import ShardPlanner

extension HTTPField.Name {
    static let uploadOffset = HTTPField.Name("Upload-Offset")!
    static let uploadComplete = HTTPField.Name("Upload-Complete")!
    static let uploadLength = HTTPField.Name("Upload-Length")!
    static let uploadLimit = HTTPField.Name("Upload-Limit")!
    /// The root of a complete upload.
    static let uploadRoot = HTTPField.Name("Upload-Root")!
    static let tusResumable = HTTPField.Name("Tus-Resumable")!
    static let tusVersion = HTTPField.Name("Tus-Version")!
    static let tusExtension = HTTPField.Name("Tus-Extension")!
    static let uploadMetadata = HTTPField.Name("Upload-Metadata")!
    static let uploadDeferLength = HTTPField.Name("Upload-Defer-Length")!
    static let uploadExpires = HTTPField.Name("Upload-Expires")!
}

/// `/uploads`: uploads that are sent in pieces, by *Resumable Uploads for HTTP* (revision 11 of the IETF's
/// draft, interop version 8) and by tus 1.0.0 (https://tus.io/protocols/resumable-upload).
struct UploadsRoute: Sendable {
    private static let tusVersion = "1.0.0"
    private static let tusExtensions =
        "creation,creation-with-upload,creation-defer-length,termination,expiration"

    let uploads: OpenUploads
    let maker: UploadMaker
    let slots: UploadSlots
    let metrics: DaemonMetrics

    /// Which of the two protocols a client speaks.
    private enum Dialect {
        case draft, tus

        init(_ request: Request) throws {
            switch request.headers[.tusResumable] {
            case nil: self = .draft
            case UploadsRoute.tusVersion: self = .tus
            case let version?:
                throw Problem(
                    .protocolVersion,
                    "tus \(version.prefix(20)) is not spoken here; use \(UploadsRoute.tusVersion)")
            }
        }
    }

    // MARK: - Requests

    func limits() -> Response {
        Response(
            status: .noContent,
            headers: [
                .uploadLimit: limitText, .tusResumable: Self.tusVersion,
                .tusVersion: Self.tusVersion, .tusExtension: Self.tusExtensions,
            ])
    }

    /// `POST /uploads`.
    func open(
        _ request: Request, _ target: RequestTarget, _ context: APIContext
    ) async throws -> Response {
        let dialect = try Dialect(request)
        let opening = try opening(request, target, dialect)
        try await maker.checkLog()
        try await maker.checkRoom()
        let resource = try await uploads.open(opening)
        return try await uploads.using(resource.id) { resource in
            let isLast = try Self.isLast(request) ?? false
            var response: Response
            if Self.hasContent(request) || isLast || dialect == .tus && opening.length == 0 {
                response = try await append(
                    request, context, to: resource, at: 0, isLast: isLast, dialect)
            } else {
                response = Response(status: .created)
                try await describe(&response, .init(offset: 0, length: opening.length), dialect)
            }
            if response.status == .noContent { response.status = .created }
            response.headers[.location] = APIPath.upload(resource.id.description)
            response.headers[.uploadID] = resource.id.description
            return response
        }
    }

    /// `PATCH /uploads/{id}`.
    func append(
        _ request: Request, _ text: String, _ context: APIContext
    ) async throws -> Response {
        let dialect = try Dialect(request)
        let id = try Self.id(text)
        if let answer = try await forwarded(request, id, context) { return answer }
        guard Self.isPatch(request, dialect) else {
            throw Problem(
                .mediaTypeUnsupported,
                "send the bytes as \(dialect == .tus ? Self.tusType : Self.draftType)")
        }
        try Self.refuseCoding(request)
        guard let offset = request.headers[.uploadOffset].flatMap({ Int($0) }), offset >= 0 else {
            throw Problem(
                .badRequest, "Upload-Offset must say at which byte the body goes on; HEAD tells it")
        }
        let isLast = try Self.isLast(request) ?? false
        if let (length, root) = try await maker.completed(id), offset == length {
            // The answer did not reach the client.
            return completed(root.description, length: length, body: nil, dialect)
        }
        return try await uploads.using(id) {
            try await append(request, context, to: $0, at: offset, isLast: isLast, dialect)
        }
    }

    /// `HEAD /uploads/{id}`: where the upload stands. Ends an append under way.
    func describe(
        _ request: Request, _ text: String, _ context: APIContext, _ response: inout Response
    ) async throws {
        let dialect = try Dialect(request)
        let id = try Self.id(text)
        if let answer = try await forwarded(request, id, context) {
            response = answer
            return
        }
        if let (length, root) = try await maker.completed(id) {
            let ended = completed(root.description, length: length, body: nil, dialect)
            for field in ended.headers { response.headers[field.name] = field.value }
            return
        }
        if case .aborted(let reason, _) = try await maker.record(of: id)?.phase {
            throw Problem(.uploadGone, "upload \(id) was aborted: \(reason)")
        }
        guard maker.peer.journals.uploads.contains(id) else { return }
        let (progress, root) = try await uploads.using(id) {
            try await $0.progress(endsAtLength: dialect == .tus)
        }
        if let root {
            let length = progress.offset
            let ended = completed(root.cid.description, length: length, body: nil, dialect)
            for field in ended.headers { response.headers[field.name] = field.value }
        } else {
            try await describe(&response, progress, dialect)
        }
        response.headers[.cacheControl] = "no-store"
    }

    /// `DELETE /uploads/{id}`.
    func abort(
        _ request: Request, _ text: String, _ context: APIContext
    ) async throws -> Response {
        let dialect = try Dialect(request)
        let id = try Self.id(text)
        if let answer = try await forwarded(request, id, context) { return answer }
        try await uploads.using(id) {
            try await $0.abort(reason: "the client has aborted it")
        }
        var response = Response(status: .noContent)
        if dialect == .tus { response.headers[.tusResumable] = Self.tusVersion }
        return response
    }

    /// What the peer answers that takes the upload in; `nil` when this is that peer.
    private func forwarded(
        _ request: Request, _ id: UploadID, _ context: APIContext
    ) async throws -> Response? {
        guard let client = maker.client else { return nil }
        let other = try await maker.peer.driver.read { [own = maker.peer.id] state in
            state.upload(id).flatMap { upload -> PeerRecord? in
                let coordinator = upload.options.coordinator
                return coordinator == own ? nil : state.peer(coordinator)
            }
        }
        guard let other else { return nil }
        let forwarded = ForwardedRequest(
            request: request, path: APIPath.upload(id.description), context: context)
        return try await forwarded.send(to: other, by: client)
    }

    // MARK: - Appending

    private func append(
        _ request: Request, _ context: APIContext, to resource: UploadResource, at offset: Int,
        isLast: Bool, _ dialect: Dialect
    ) async throws -> Response {
        let slot = try slots.take()
        defer { withExtendedLifetime(slot) {} }
        var length = try Self.length(request)
        if isLast, let rest = request.headers[.contentLength].flatMap({ Int($0) }) {
            guard length == nil || length == offset + rest else {
                throw Problem(
                    .lengthMismatch, "Upload-Length and Content-Length do not tell the same length")
            }
            length = offset + rest
        }
        context.acceptBody()
        let body = UploadBody(request.body, isCompressed: false) { [metrics] count in
            metrics.received(count)
        }
        let (progress, root) = try await resource.append(
            body, at: offset, length: length, isLast: isLast, endsAtLength: dialect == .tus,
            wasWhole: { await context.bodyWasWhole() },
            interrupt: { context.channel.close(promise: nil) })
        guard let root else {
            var response = Response(status: .noContent)
            try await describe(&response, progress, dialect)
            return response
        }
        metrics.uploadEnded(isCommitted: true)
        return completed(root.cid.description, length: progress.offset, body: root, dialect)
    }

    // MARK: - Answers

    private func describe(
        _ response: inout Response, _ progress: UploadResource.Progress, _ dialect: Dialect
    ) async throws {
        response.headers[.uploadOffset] = "\(progress.offset)"
        if let length = progress.length { response.headers[.uploadLength] = "\(length)" }
        switch dialect {
        case .draft:
            response.headers[.uploadComplete] = "?0"
            response.headers[.uploadLimit] = limitText
        case .tus:
            response.headers[.tusResumable] = Self.tusVersion
            if progress.length == nil { response.headers[.uploadDeferLength] = "1" }
            let end = Date(timeIntervalSinceNow: Double(uploads.leaseSeconds))
            response.headers[.uploadExpires] = Self.httpDate(end)
        }
    }

    /// - Parameter body: Told to clients of the draft.
    private func completed(
        _ root: String, length: Int, body: ImportedEntry?, _ dialect: Dialect
    ) -> Response {
        var response = Response(status: .noContent)
        response.headers[.uploadRoot] = root
        response.headers[.uploadOffset] = "\(length)"
        response.headers[.uploadLength] = "\(length)"
        switch dialect {
        case .tus: response.headers[.tusResumable] = Self.tusVersion
        case .draft:
            response.headers[.uploadComplete] = "?1"
            response.headers[.uploadLimit] = limitText
            var bytes: [UInt8] = []
            if let body {
                AddedOutput.appendLine(
                    name: body.path, cid: body.cid, size: body.cumulativeByteCount, to: &bytes)
            } else {
                bytes = Array("{\"cid\":\"\(root)\"}\n".utf8)
            }
            response.status = .ok
            response.headers[.contentType] = APIField.json
            response.body = ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        }
        return response
    }

    /// There is no limit but that of time.
    private var limitText: String { "min-size=0, max-age=\(uploads.leaseSeconds)" }

    private static func httpDate(_ date: Date) -> String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return format.string(from: date)
    }

    // MARK: - Header fields

    private static let draftType = "application/partial-upload"
    private static let tusType = "application/offset+octet-stream"

    private static func id(_ text: String) throws -> UploadID {
        guard let id = UploadID(text) else {
            throw Problem(
                .uploadNotFound, "there is no upload '\(text.prefix(64))', or it ended long ago")
        }
        return id
    }

    private static func hasContent(_ request: Request) -> Bool {
        request.headers[.transferEncoding] != nil
            || request.headers[.contentLength].map { $0 != "0" } ?? false
    }

    private static func isPatch(_ request: Request, _ dialect: Dialect) -> Bool {
        let type = request.headers[.contentType]?.split(separator: ";").first?
            .trimmingCharacters(in: .whitespaces).lowercased()
        return type == (dialect == .tus ? tusType : draftType)
    }

    /// `Upload-Complete`; anything but the two booleans of structured fields is as if it were not there.
    private static func isLast(_ request: Request) throws -> Bool? {
        switch request.headers[.uploadComplete]?.trimmingCharacters(in: .whitespaces) {
        case "?1": true
        case "?0": false
        default: nil
        }
    }

    private static func length(_ request: Request) throws -> Int? {
        guard let text = request.headers[.uploadLength] else { return nil }
        guard let length = Int(text), length >= 0 else {
            throw Problem(.badRequest, "Upload-Length must be a number of bytes")
        }
        return length
    }

    private static func refuseCoding(_ request: Request) throws {
        guard let coding = request.headers[.contentEncoding], coding.lowercased() != "identity"
        else { return }
        throw Problem(
            .encodingUnsupported,
            "offsets count the bytes as they are; send them without Content-Encoding '\(coding)'")
    }

    // MARK: - Opening

    private func opening(
        _ request: Request, _ target: RequestTarget, _ dialect: Dialect
    ) throws -> UploadOpening {
        try Self.refuseCoding(request)
        let now = WallTime.now
        var items = try QueryString.parse(target.query)
        if dialect == .tus, let name = try Self.tusFilename(request),
            !items.contains(where: { $0.name == "filename" })
        {
            items.append(QueryItem(name: "filename", value: name))
        }
        let parameters = try UploadParameters(parsing: items, now: now)
        var boundary: String?
        if parameters.format == .multipart {
            let found = try MultipartBoundary(contentType: request.headers[.contentType])
            boundary = String(decoding: found.bytes, as: UTF8.self)
        }
        // What follows the last byte is not known to be nothing before the client says so.
        return UploadOpening(
            query: QueryString.encode(parameters.add.queryItems),
            format: parameters.format.rawValue, filename: parameters.filename, boundary: boundary,
            openedAt: now, length: try Self.length(request))
    }

    /// `filename` or `name` of `Upload-Metadata`: pairs of a key and a value in base64.
    private static func tusFilename(_ request: Request) throws -> String? {
        guard let text = request.headers[.uploadMetadata] else { return nil }
        var values: [String: String] = [:]
        for pair in text.split(separator: ",") {
            let words = pair.split(separator: " ")
            guard let key = words.first else { continue }
            guard words.count <= 2,
                let data = Data(base64Encoded: String(words.dropFirst().first ?? "")),
                let value = String(validating: data, as: UTF8.self)
            else {
                throw Problem(
                    .badRequest, "Upload-Metadata must have keys, each with a value in base64")
            }
            values[String(key)] = value
        }
        return values["filename"] ?? values["name"]
    }
}
