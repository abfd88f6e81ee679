/// Every kind of error the API answers with. Raw values are stable: programs compare them.
package enum ErrorCode: String, CaseIterable, Sendable {
    // The request is wrong
    case badRequest = "bad-request"
    case badParameter = "bad-parameter"
    case badMultipart = "bad-multipart"
    case badEncoding = "bad-encoding"
    case badCAR = "bad-car"
    case badCID = "bad-cid"
    case badPeerID = "bad-peer-id"
    case badJSON = "bad-json"
    case badPath = "bad-path"
    case emptyUpload = "empty-upload"
    case severalRoots = "several-roots"
    /// A block is larger than blocks may be, or than the shard size asked for.
    case blockTooLarge = "block-too-large"
    case bodyCut = "body-cut"

    // Who asks
    case unauthorized = "unauthorized"
    case forbidden = "forbidden"

    // What is asked for is not there
    case pathUnknown = "path-unknown"
    case notFound = "not-found"
    case pinNotFound = "pin-not-found"
    case blockNotFound = "block-not-found"
    case shardNotFound = "shard-not-found"
    case uploadNotFound = "upload-not-found"
    case peerNotFound = "peer-not-found"
    case methodNotAllowed = "method-not-allowed"
    case notAcceptable = "not-acceptable"

    // It does not go with what is there
    case pathConflict = "path-conflict"
    case conflict = "conflict"
    case tooFewPeers = "too-few-peers"
    case preconditionFailed = "precondition-failed"
    case bodyTooLarge = "body-too-large"
    case mediaTypeUnsupported = "media-type-unsupported"
    case encodingUnsupported = "encoding-unsupported"
    case rangeNotSatisfiable = "range-not-satisfiable"
    case tooManyUploads = "too-many-uploads"
    case offsetMismatch = "offset-mismatch"
    case lengthMismatch = "length-mismatch"
    /// The upload was aborted, or removed after it had not been touched for long.
    case uploadGone = "upload-gone"
    case uploadComplete = "upload-complete"
    /// What is sent again is not what was sent before.
    case contentChanged = "content-changed"
    case protocolVersion = "protocol-version"

    // The service cannot
    case internalError = "internal-error"
    case notImplemented = "not-implemented"
    case unavailable = "unavailable"
    case shuttingDown = "shutting-down"
    case noSpace = "no-space"

    /// The HTTP status.
    package var status: Int {
        switch self {
        case .badRequest, .badParameter, .badMultipart, .badEncoding, .badCAR, .badCID,
            .badPeerID, .badJSON, .badPath, .emptyUpload, .severalRoots, .blockTooLarge, .bodyCut,
            .lengthMismatch:
            400
        case .unauthorized: 401
        case .forbidden: 403
        case .pathUnknown, .notFound, .pinNotFound, .blockNotFound, .shardNotFound,
            .uploadNotFound, .peerNotFound:
            404
        case .methodNotAllowed: 405
        case .notAcceptable: 406
        case .pathConflict, .conflict, .tooFewPeers, .offsetMismatch, .uploadComplete,
            .contentChanged:
            409
        case .uploadGone: 410
        case .preconditionFailed, .protocolVersion: 412
        case .bodyTooLarge: 413
        case .mediaTypeUnsupported, .encodingUnsupported: 415
        case .rangeNotSatisfiable: 416
        case .tooManyUploads: 429
        case .internalError: 500
        case .notImplemented: 501
        case .unavailable, .shuttingDown: 503
        case .noSpace: 507
        }
    }

    /// The `type` of RFC 9457.
    package var type: String {
        registeredName.map { "https://iana.org/assignments/http-problem-types#\($0)" }
            ?? "urn:ingestd:error:\(rawValue)"
    }

    /// Whether *Resumable Uploads for HTTP* registers the type.
    package var isRegistered: Bool { registeredName != nil }

    private var registeredName: String? {
        switch self {
        case .offsetMismatch: "mismatching-upload-offset"
        case .lengthMismatch: "inconsistent-upload-length"
        case .uploadComplete: "completed-upload"
        default: nil
        }
    }

    /// The `title` of RFC 9457: the same for every error of this kind.
    package var title: String {
        switch self {
        case .badRequest: "The request is malformed"
        case .badParameter: "A parameter is wrong"
        case .badMultipart: "The multipart body is malformed"
        case .badEncoding: "The compressed body is damaged"
        case .badCAR: "The CAR is malformed or incomplete"
        case .badCID: "Not a CID"
        case .badPeerID: "Not a peer ID"
        case .badJSON: "The JSON body is malformed"
        case .badPath: "A path in the upload cannot be stored"
        case .emptyUpload: "The upload has no entries"
        case .severalRoots: "The upload has more than one root"
        case .blockTooLarge: "A block is too large"
        case .bodyCut: "The body ended too early"
        case .unauthorized: "A token is needed"
        case .forbidden: "The token does not allow this"
        case .pathUnknown: "No such path"
        case .notFound: "Not found"
        case .pinNotFound: "No such pin"
        case .blockNotFound: "No such block"
        case .shardNotFound: "No such shard"
        case .uploadNotFound: "No such upload"
        case .peerNotFound: "No such peer"
        case .methodNotAllowed: "The path does not have this method"
        case .notAcceptable: "The form asked for is not available"
        case .pathConflict: "A path occurs twice in the upload"
        case .conflict: "The request does not fit the state"
        case .tooFewPeers: "More copies asked for than there are peers"
        case .preconditionFailed: "A precondition does not hold"
        case .bodyTooLarge: "The body is too large"
        case .mediaTypeUnsupported: "The media type is not supported"
        case .encodingUnsupported: "The content encoding is not supported"
        case .rangeNotSatisfiable: "The range is outside the content"
        case .tooManyUploads: "Too many uploads at once"
        case .offsetMismatch: "The upload stands at another offset"
        case .lengthMismatch: "The upload has another length than was said"
        case .uploadGone: "The upload was aborted"
        case .uploadComplete: "The upload is complete"
        case .contentChanged: "The bytes are not those that were sent before"
        case .protocolVersion: "The protocol version is not supported"
        case .internalError: "The service failed"
        case .notImplemented: "Not implemented"
        case .unavailable: "The service is not available"
        case .shuttingDown: "The service is stopping"
        case .noSpace: "Not enough space"
        }
    }
}

/// An error that knows what the API calls it.
package protocol CodedError: Error, CustomStringConvertible {
    var errorCode: ErrorCode { get }
}

extension ParameterError: CodedError {
    package var errorCode: ErrorCode { .badParameter }
}

extension ContentTypeError: CodedError {
    package var errorCode: ErrorCode {
        switch self {
        case .missing, .notMultipart: .mediaTypeUnsupported
        case .malformed, .boundaryMissing, .boundaryLength, .boundaryByte: .badMultipart
        }
    }
}

extension MultipartError: CodedError {
    package var errorCode: ErrorCode {
        switch problem {
        case .emptyBody: .emptyUpload
        case .bodyCutInBoundary, .bodyCutInHead, .finalBoundaryMissing: .bodyCut
        default: .badMultipart
        }
    }
}

extension UploadError: CodedError {
    package var errorCode: ErrorCode {
        switch self {
        case .multipart(let error): error.errorCode
        case .entry(_, .path), .symlinkTargetTooLong: .badPath
        case .entry, .directoryWithBody: .badMultipart
        case .noEntries: .emptyUpload
        }
    }
}
