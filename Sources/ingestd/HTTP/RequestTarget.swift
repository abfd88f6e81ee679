import IngestAPI

/// A request's path and query, taken apart. Path components are bytes: file names need not be text.
struct RequestTarget: Sendable {
    /// Decoded components between the slashes, empty ones left out.
    let path: [[UInt8]]
    /// What follows the question mark, still encoded.
    let query: String

    enum Malformation: Error, CustomStringConvertible {
        case noLeadingSlash
        case tooLong(byteCount: Int)
        case percentEncoding
        case nul
        case dotComponent

        var description: String {
            switch self {
            case .noLeadingSlash: "the request target does not begin with '/'"
            case .tooLong(let count):
                "the request target has \(count) bytes; at most \(RequestTarget.byteCountLimit) are read"
            case .percentEncoding:
                "a '%' in the path is not followed by two hexadecimal digits; write a literal '%' as %25"
            case .nul: "the path contains a NUL byte"
            case .dotComponent:
                "the path contains a '.' or '..' component, which is not resolved here"
            }
        }
    }

    static let byteCountLimit = 64 << 10

    init(_ target: String) throws(Malformation) {
        let bytes = Array(target.utf8)
        guard bytes.count <= Self.byteCountLimit else { throw .tooLong(byteCount: bytes.count) }
        guard bytes.first == UInt8(ascii: "/") else { throw .noLeadingSlash }
        let queryStart = bytes.firstIndex(of: UInt8(ascii: "?")) ?? bytes.endIndex
        var path: [[UInt8]] = []
        for part in bytes[..<queryStart].split(separator: UInt8(ascii: "/")) {
            let component = try Self.decode(part)
            if component.contains(0) { throw .nul }
            if component == [46] || component == [46, 46] { throw .dotComponent }
            path.append(component)
        }
        self.path = path
        query = String(decoding: bytes[queryStart...].dropFirst(), as: UTF8.self)
    }

    private init(path: [[UInt8]], query: String) {
        self.path = path
        self.query = query
    }

    /// The same without the first components.
    func dropping(_ count: Int) -> RequestTarget {
        RequestTarget(path: Array(path.dropFirst(count)), query: query)
    }

    private static func decode(_ bytes: ArraySlice<UInt8>) throws(Malformation) -> [UInt8] {
        guard let decoded = PercentCoding.decode(bytes, plusIsSpace: false) else {
            throw .percentEncoding
        }
        return decoded
    }
}
