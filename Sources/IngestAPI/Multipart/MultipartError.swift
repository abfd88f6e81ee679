/// Why a multipart body was refused, and where.
package struct MultipartError: Error, Equatable, CustomStringConvertible {
    package let problem: MultipartProblem
    /// Bytes of the body before the place where the problem was noticed.
    package let bodyOffset: UInt64
    /// Parts begun before the problem, the one it is in included.
    package let partNumber: Int

    package var description: String {
        let place = partNumber == 0 ? "" : ", part \(partNumber)"
        return "multipart body, byte \(bodyOffset)\(place): \(problem)"
    }
}

/// What is wrong with a multipart body.
package enum MultipartProblem: Error, Equatable, CustomStringConvertible {
    case emptyBody
    case boundaryNotFound(skippedByteCount: Int)
    case bodyCutInBoundary
    case bodyCutInHead
    case finalBoundaryMissing
    case textAfterBoundary
    case paddingTooLong(limit: Int)
    case epilogueTooLong(limit: Int)
    case bareLineFeed
    case headMissing
    case headTooLong(limit: Int)
    case tooManyHeaderFields(limit: Int)
    case tooManyParts(limit: Int)
    case controlByteInHead(UInt8)
    case foldedHeaderField
    case headerFieldWithoutColon
    case headerFieldName
    case headerFieldTwice(String)
    case dispositionMissing
    case headerValue(field: String, HeaderValueError)
    case transferEncoding(String)

    package var description: String {
        switch self {
        case .emptyBody:
            "the body is empty; send at least one file part"
        case .boundaryNotFound(let skipped):
            "no boundary line in \(skipped) bytes; the boundary in Content-Type must be the one "
                + "used in the body"
        case .bodyCutInBoundary:
            "the body ends inside a boundary line; it was cut, send it again"
        case .bodyCutInHead:
            "the body ends inside the header of a part; it was cut, send it again"
        case .finalBoundaryMissing:
            "the body ends without the final boundary; it was cut, send it again"
        case .textAfterBoundary:
            "a boundary line goes on after the boundary; only spaces, tabs and CRLF may follow"
        case .paddingTooLong(let limit):
            "more than \(limit) spaces and tabs after a boundary"
        case .epilogueTooLong(let limit):
            "more than \(limit) bytes after the final boundary"
        case .bareLineFeed:
            "a line ends with LF alone; lines of a multipart body end with CRLF"
        case .headMissing:
            "the part has no header; it needs at least Content-Disposition"
        case .headTooLong(let limit):
            "the header of the part is longer than \(limit) bytes"
        case .tooManyHeaderFields(let limit):
            "the part has more than \(limit) header fields"
        case .tooManyParts(let limit):
            "the body has more than \(limit) parts; split it into several uploads"
        case .controlByteInHead(let byte):
            "byte \(byte) in the header of the part; control characters are not allowed there"
        case .foldedHeaderField:
            "a header field goes on in a second line; write it in one"
        case .headerFieldWithoutColon:
            "a header line of the part has no colon"
        case .headerFieldName:
            "a header field of the part has a name that is empty or has characters no name may have"
        case .headerFieldTwice(let name):
            "the part has two \(name) fields"
        case .dispositionMissing:
            "the part has no Content-Disposition field, so it has no name"
        case .headerValue(let field, let error):
            "\(field) of the part: \(error)"
        case .transferEncoding(let name):
            "Content-Transfer-Encoding \(name) is not supported; send the bytes as they are"
        }
    }
}
