import PosixIO

/// Why a peer has no identity to work under. Every case names the file.
package enum IdentityError: Error, Equatable, Sendable, CustomStringConvertible {
    case missing(path: String)
    case exists(path: String)
    case readableByOthers(path: String, permissions: UInt32)
    case malformed(path: String, finding: String)
    /// The key in the file is not the one of the peer ID beside it.
    case keyDiffers(path: String, named: String, found: String)
    case io(IOError)

    package var description: String {
        switch self {
        case .missing(let path):
            "\(path) is missing; mount the data directory, or run ingestd init for a new one"
        case .exists(let path):
            "\(path) exists already and is never overwritten; move it away to make a new identity"
        case .readableByOthers(let path, let permissions):
            """
            \(path) has mode \(String(permissions, radix: 8)), so other users may have read what is \
            secret in it; run chmod 600 on it
            """
        case .malformed(let path, let finding):
            "\(path) is damaged (\(finding)); restore it from a backup"
        case .keyDiffers(let path, let named, let found):
            "\(path) names peer \(named) but holds the key of \(found); restore it from a backup"
        case .io(let error):
            error.description
        }
    }
}
