/// Why a request's Content-Type does not announce a form with a usable boundary.
package enum ContentTypeError: Error, Equatable, CustomStringConvertible {
    case missing
    case malformed(HeaderValueError)
    case notMultipart(String)
    case boundaryMissing
    case boundaryLength(Int)
    case boundaryByte(UInt8)

    package var description: String {
        switch self {
        case .missing:
            "the request has no Content-Type; send multipart/form-data with a boundary "
                + "(curl -F file=@path does)"
        case .malformed(let error):
            "Content-Type cannot be read: \(error)"
        case .notMultipart(let essence):
            "Content-Type is \(essence); send multipart/form-data (curl -F file=@path does)"
        case .boundaryMissing:
            "Content-Type multipart/form-data has no boundary parameter"
        case .boundaryLength(let count):
            "the boundary has \(count) bytes; it must have 1 to \(MultipartBoundary.maximumByteCount)"
        case .boundaryByte(let byte):
            "the boundary has byte \(byte); only printable ASCII not ending with a space is allowed"
        }
    }
}

/// The text that separates the parts of a form, as RFC 2046 section 5.1.1 bounds it.
///
/// Any printable ASCII is taken, which is more than the RFC's `bchars`.
package struct MultipartBoundary: Equatable, Sendable {
    package static let maximumByteCount = 70

    /// The boundary without the leading hyphens.
    package let bytes: [UInt8]

    /// - Throws: `boundaryLength` or `boundaryByte`.
    package init(_ bytes: [UInt8]) throws(ContentTypeError) {
        guard (1...Self.maximumByteCount).contains(bytes.count) else {
            throw .boundaryLength(bytes.count)
        }
        for byte in bytes where byte < 0x20 || byte > 0x7E { throw .boundaryByte(byte) }
        if bytes.last == UInt8(ascii: " ") { throw .boundaryByte(UInt8(ascii: " ")) }
        self.bytes = bytes
    }

    /// Takes the boundary from a request's Content-Type.
    ///
    /// - Throws: `ContentTypeError` when there is none, it is not `multipart/form-data`, or the
    ///   boundary is missing or not usable.
    package init(contentType: String?) throws(ContentTypeError) {
        guard let contentType else { throw .missing }
        let type: MediaType
        do {
            type = try MediaType(parsing: contentType)
        } catch {
            throw .malformed(error)
        }
        guard type.essence == "multipart/form-data" else { throw .notMultipart(type.essence) }
        guard let boundary = type.parameter("boundary") else { throw .boundaryMissing }
        try self.init(boundary)
    }
}
