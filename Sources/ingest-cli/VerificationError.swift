import Multiformats

/// What came from the service is not what its CID or our own computation says.
enum VerificationError: Error, CustomStringConvertible {
    case wrongBytes(CID)
    case differentRoot(ours: CID, service: String)
    case incomplete(root: CID, reason: String)
    case badEntryName(directory: CID, name: [UInt8])

    var description: String {
        switch self {
        case .wrongBytes(let cid):
            "block \(cid) came with bytes that do not match its CID; run ingest-cli verify to see "
                + "what else is damaged"
        case .differentRoot(let ours, let service):
            "the service made root \(service) of what was sent, but it is \(ours): the data was "
                + "changed on the way; remove it (ingest-cli pin rm \(service)) and add again"
        case .incomplete(let root, let reason):
            "\(root) is not all there: \(reason); run ingest-cli verify \(root)"
        case .badEntryName(let directory, let name):
            "directory \(directory) has an entry named “\(String(decoding: name, as: UTF8.self))”, "
                + "which would leave the target directory; nothing of it was written"
        }
    }
}
