import IngestAPI

/// Why a call did not give what it was made for.
package enum ClientError: Error, Equatable, CustomStringConvertible {
    case badAddress(String, reason: String)
    case badCertificates(path: String, reason: String)
    /// No connection came about.
    case unreachable(address: String, reason: String)
    /// The other side could not prove who it is, or wants to know who we are.
    case insecure(address: String, reason: String)
    /// The connection ended, or nothing came for too long, before the answer was complete.
    case connectionLost(address: String, reason: String)
    /// The service said no, and why.
    case refused(ErrorDocument)
    /// Whoever answered does not speak this API.
    case notUnderstood(address: String, what: String)

    /// What happened, without what to do.
    package var cause: String {
        switch self {
        case .unreachable(let address, let reason): "no connection to \(address): \(reason)"
        case .connectionLost(let address, let reason):
            "the connection to \(address) was lost: \(reason)"
        case .refused(let document): document.message
        case .badAddress, .badCertificates, .insecure, .notUnderstood: description
        }
    }

    /// Whether an upload cannot go on after this.
    package var endsUpload: Bool {
        guard case .refused(let document) = self, !isPassing else { return false }
        // The cluster may become one that takes it.
        let isOfCluster = [ErrorCode.tooFewPeers, .conflict].contains { $0.type == document.type }
        return !isOfCluster && [400, 404, 409, 410, 413].contains(document.status)
    }

    /// Whether the same may work when it is tried again.
    package var isPassing: Bool {
        switch self {
        case .unreachable, .connectionLost: true
        case .refused(let document):
            [
                ErrorCode.unavailable, .shuttingDown, .tooManyUploads, .internalError, .bodyCut,
                .offsetMismatch,
            ].contains { $0.type == document.type }
        case .badAddress, .badCertificates, .insecure, .notUnderstood: false
        }
    }

    /// What happened, and after a semicolon what to do.
    package var description: String {
        switch self {
        case .badAddress(let address, let reason):
            "'\(address)' is not the address of a service: \(reason); "
                + "give one such as http://127.0.0.1:9094"
        case .badCertificates(let path, let reason):
            "\(path) cannot be used: \(reason); give a file with certificates in PEM"
        case .unreachable(let address, let reason):
            "no connection to \(address): \(reason); start ingestd there, or give its address with "
                + "--api or INGEST_API"
        case .insecure(let address, let reason):
            "no secure connection to \(address): \(reason); give the certificates to trust with "
                + "--ca-file"
        case .connectionLost(let address, let reason):
            "the connection to \(address) was lost: \(reason); try again"
        case .refused(let document) where document.type == ErrorCode.unauthorized.type:
            "\(document.message); give the file that holds it with --token-file"
        case .refused(let document):
            document.remedy.map { "\(document.message); \($0)" } ?? document.message
        case .notUnderstood(let address, let what):
            "the answer from \(address) is not ingestd's: \(what); check --api"
        }
    }
}
