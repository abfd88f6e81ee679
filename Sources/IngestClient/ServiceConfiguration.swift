/// Where the service is and how it is talked to.
package struct ServiceConfiguration: Sendable {
    /// Scheme, host and port, without a slash at the end.
    package let baseURL: String
    /// Sent as `Authorization: Bearer`.
    package var token: String?
    /// File with the certificates, in PEM, that are trusted instead of the system's.
    package var certificateFile: String?
    /// How long nothing may arrive while an answer is awaited.
    package var idleTimeout = Duration.seconds(300)

    /// - Throws: `badAddress` when `address` is not `http://` or `https://` with a host.
    package init(address: String) throws(ClientError) {
        let separator = address.range(of: "://")
        let scheme = separator.map { address[..<$0.lowerBound].lowercased() }
        guard let separator, let scheme, scheme == "http" || scheme == "https" else {
            throw .badAddress(address, reason: "it does not begin with http:// or https://")
        }
        var rest = address[separator.upperBound...]
        while rest.last == "/" { rest.removeLast() }
        let isPlain = rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        guard !rest.isEmpty, isPlain, !rest.contains("?"), !rest.contains("#") else {
            throw .badAddress(address, reason: "a host and perhaps a port and a path must follow")
        }
        baseURL = "\(scheme)://\(rest)"
    }
}

extension String {
    /// First occurrence of `pattern`; the standard library has this only with Foundation.
    fileprivate func range(of pattern: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(pattern) {
                return start..<index(start, offsetBy: pattern.count)
            }
            start = index(after: start)
        }
        return nil
    }
}
