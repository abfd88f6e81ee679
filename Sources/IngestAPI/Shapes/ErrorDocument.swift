/// The body of every error: ipfs-cluster's `code` and `message`, and the fields of RFC 9457.
package struct ErrorDocument: Equatable, Sendable, Codable {
    /// The HTTP status, as in ipfs-cluster; also where the answer had begun with another one.
    package var code: Int
    /// What happened and what to do, in one sentence.
    package var message: String
    /// Identifies the kind of error for programs; see `ErrorCode.type`.
    package var type: String
    package var title: String
    package var status: Int
    package var detail: String
    /// The path that was asked for.
    package var instance: String?
    /// What to do about it, where that can be said apart.
    package var remedy: String?
    /// Finds the request in the daemon's log.
    package var requestID: String?
    /// Where an upload stands, for a client that went on elsewhere, at `providedOffset`.
    package var expectedOffset: Int?
    package var providedOffset: Int?

    private enum CodingKeys: String, CodingKey {
        case code, message, type, title, status, detail, instance, remedy
        case requestID = "request_id"
        case expectedOffset = "expected-offset"
        case providedOffset = "provided-offset"
    }

    package init(
        _ code: ErrorCode, _ message: String, instance: String? = nil, remedy: String? = nil,
        requestID: String? = nil
    ) {
        self.code = code.status
        self.message = message
        type = code.type
        title = code.title
        status = code.status
        detail = message
        self.instance = instance
        self.remedy = remedy
        self.requestID = requestID
    }
}

/// The body of every error of `/api/v0`, in Kubo's shape.
package struct KuboErrorDocument: Equatable, Sendable, Codable {
    package var message: String
    /// Kubo's own numbers: 0 for any failure, 1 for a request that is wrong.
    package var code: Int
    package var type: String

    private enum CodingKeys: String, CodingKey {
        case message = "Message"
        case code = "Code"
        case type = "Type"
    }

    package init(_ code: ErrorCode, _ message: String) {
        self.message = message
        self.code = code.status < 500 ? 1 : 0
        type = "error"
    }
}
