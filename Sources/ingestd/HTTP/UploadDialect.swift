import Foundation
import HTTPTypes
import Hummingbird
import Importer
import IngestAPI
import NIOCore

extension HTTPField.Name {
    static let uploadOffset = HTTPField.Name("Upload-Offset")!
    static let uploadComplete = HTTPField.Name("Upload-Complete")!
    static let uploadLength = HTTPField.Name("Upload-Length")!
    static let uploadLimit = HTTPField.Name("Upload-Limit")!
    static let uploadDraftInteropVersion = HTTPField.Name("Upload-Draft-Interop-Version")!
    /// The root of a complete upload.
    static let uploadRoot = HTTPField.Name("Upload-Root")!
    static let tusResumable = HTTPField.Name("Tus-Resumable")!
    static let tusVersion = HTTPField.Name("Tus-Version")!
    static let tusExtension = HTTPField.Name("Tus-Extension")!
    static let uploadMetadata = HTTPField.Name("Upload-Metadata")!
    static let uploadDeferLength = HTTPField.Name("Upload-Defer-Length")!
    static let uploadExpires = HTTPField.Name("Upload-Expires")!
    static let acceptPatch = HTTPField.Name("Accept-Patch")!
    static let methodOverride = HTTPField.Name("X-HTTP-Method-Override")!
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
}

/// Which of the two protocols for uploads in pieces a client speaks, and how it is answered.
enum UploadDialect {
    /// *Resumable Uploads for HTTP*, revision 11 of the IETF's draft, interop version 8.
    case draft
    /// tus 1.0.0 (https://tus.io/protocols/resumable-upload).
    case tus

    private static let tusVersion = "1.0.0"
    private static let tusExtensions =
        "creation,creation-with-upload,creation-defer-length,termination,expiration"

    init(_ request: Request) throws {
        switch request.headers[.tusResumable] {
        case nil: self = .draft
        case Self.tusVersion: self = .tus
        case let version?:
            throw Problem(
                .protocolVersion,
                "tus \(version.prefix(20)) is not spoken here; use \(Self.tusVersion)")
        }
    }

    /// What tus wants of every answer, also of an error.
    static func tusFields(for request: Request, status: HTTPResponse.Status) -> HTTPFields {
        guard request.headers[.tusResumable] != nil else { return [:] }
        var fields: HTTPFields = [.tusResumable: tusVersion]
        if status == .preconditionFailed { fields[.tusVersion] = tusVersion }
        return fields
    }

    /// What the bytes of a `PATCH` are sent as.
    var patchType: String {
        switch self {
        case .draft: APIField.partialUpload
        case .tus: "application/offset+octet-stream"
        }
    }

    // MARK: - Answers

    private static let interopVersion = "8"

    /// Whether the client knows what 104 says, as far as it tells: it means something only in one version of
    /// the draft.
    func knowsResumptionSupported(_ request: Request) -> Bool {
        self == .draft && request.headers[.uploadDraftInteropVersion] == Self.interopVersion
    }

    /// `104 Upload Resumption Supported`, while a body is being taken.
    static func resumptionSupported(_ fields: HTTPFields) -> HTTPResponse {
        var fields = fields
        fields[.uploadDraftInteropVersion] = interopVersion
        return HTTPResponse(
            status: .init(code: 104, reasonPhrase: "Upload Resumption Supported"),
            headerFields: fields)
    }

    /// What is promised of all uploads: there is no limit but that of time.
    static func limits(lease: Int64) -> HTTPFields {
        [
            .uploadLimit: limitText(lease), .tusResumable: tusVersion, .tusVersion: tusVersion,
            .tusExtension: tusExtensions,
            .acceptPatch: [draft, tus].map(\.patchType).joined(separator: ", "),
        ]
    }

    /// Where an upload stands that is not complete.
    ///
    /// - Parameter lease: Seconds from now after which it is aborted.
    func fields(_ progress: UploadResource.Progress, lease: Int64) -> HTTPFields {
        var fields: HTTPFields = [.uploadOffset: "\(progress.offset)"]
        if let length = progress.length { fields[.uploadLength] = "\(length)" }
        switch self {
        case .draft:
            fields[.uploadComplete] = "?0"
            fields[.uploadLimit] = Self.limitText(lease)
        case .tus:
            fields[.tusResumable] = Self.tusVersion
            if progress.length == nil { fields[.uploadDeferLength] = "1" }
            fields[.uploadMetadata] = progress.metadata
            fields[.uploadExpires] = Self.httpDate(
                Date(timeIntervalSinceNow: Double(lease)))
        }
        return fields
    }

    /// What is said of a complete upload.
    func fields(_ upload: CompleteUpload) -> HTTPFields {
        var fields: HTTPFields = [
            .uploadRoot: "\(upload.root)", .uploadOffset: "\(upload.length)",
            .uploadLength: "\(upload.length)",
        ]
        switch self {
        case .tus:
            fields[.tusResumable] = Self.tusVersion
            fields[.uploadMetadata] = upload.metadata
        case .draft: fields[.uploadComplete] = "?1"
        }
        return fields
    }

    /// The answer to whoever has sent the last byte.
    func response(_ upload: CompleteUpload, line: [UInt8]) -> Response {
        let fields = fields(upload)
        switch self {
        case .tus: return Response(status: .noContent, headers: fields)
        case .draft:
            var response = Response(
                status: .ok, headers: fields,
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: line)))
            response.headers[.contentType] = APIField.json
            return response
        }
    }

    /// The answer to whoever has aborted an upload.
    var aborted: Response {
        Response(
            status: .noContent, headers: self == .tus ? [.tusResumable: Self.tusVersion] : [:])
    }

    static func limitText(_ lease: Int64) -> String { "min-size=0, max-age=\(lease)" }

    private static func httpDate(_ date: Date) -> String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return format.string(from: date)
    }

    // MARK: - Requests

    /// The file's name, as the client tells it in this dialect.
    func filename(_ request: Request) throws -> String? {
        guard self == .tus, let text = request.headers[.uploadMetadata] else { return nil }
        guard let values = UploadFields.metadata(text) else {
            throw Problem(
                .badRequest, "Upload-Metadata must have keys, each once, with a value in base64")
        }
        guard let name = values["filename"] ?? values["name"] else { return nil }
        guard let text = String(validating: name, as: UTF8.self) else {
            throw Problem(.badRequest, "the file's name in Upload-Metadata is not UTF-8")
        }
        return text
    }

    /// - Throws: Unless a client of tus that opens an upload says its length, or that it will.
    func checkOpening(_ request: Request) throws {
        guard self == .tus else { return }
        let isDeferred = request.headers[.uploadDeferLength]
        guard isDeferred == nil || isDeferred == "1",
            (isDeferred == nil) == (request.headers[.uploadLength] != nil)
        else {
            throw Problem(
                .badRequest, "say Upload-Length, or Upload-Defer-Length: 1, and not both")
        }
    }
}
