import Importer
import IngestAPI
import Multiformats
import PosixIO

/// What there is to add, as it was when it was first looked at.
struct SourceManifest: Sendable {
    /// Length of the request body that holds it: a form, or a CAR.
    var bodyByteCount: UInt64 = 0
    /// One for every entry, in the order of the walk: 8 bytes an entry.
    var fingerprints: [UInt64] = []
}

/// Something that is being added is not what it was when the upload began.
struct SourceChanged: Error, CustomStringConvertible {
    let what: String

    /// - Parameter path: `nil` when entries at the end are gone.
    init(at path: ImportPath?) {
        guard let path else {
            what = "entries at its end are gone"
            return
        }
        let name = String(
            decoding: Array(path.components.joined(separator: [UInt8(ascii: "/")])), as: UTF8.self)
        what = "\(name) changed, is new, or comes after something that is gone"
    }

    /// - Parameter failure: Of what could be read before.
    init(by failure: CommandOutcome) {
        what = failure.message ?? "it cannot be read any more"
    }

    var description: String {
        "what is added changed under the upload: \(what); add it again when nobody writes there"
    }
}

/// Tells whether an entry is still the same: by its path, kind, size, time and metadata, not by its bytes.
final class EntryFingerprint {
    private let hasher: BlockHasher

    init() throws {
        hasher = try BlockHasher(.sha2_256)
    }

    /// - Parameter status: That of the entry on disk.
    func compute(_ entry: UploadEntry, _ content: WalkedEntry.Content, _ status: FileStatus) throws
        -> UInt64
    {
        var bytes: [UInt8] = []
        bytes.appendNumber(UInt64(entry.path.components.count))
        for name in entry.path.components { bytes.appendRun(name) }
        bytes.appendRun(Array("\(entry.kind) \(entry.metadata)".utf8))
        switch content {
        case .directory: break
        case .file:
            for number in [Int64(status.byteCount), status.modifiedSeconds] {
                bytes.appendNumber(UInt64(bitPattern: number))
            }
            bytes.appendNumber(UInt64(status.modifiedNanoseconds))
        case .symlink(let target): bytes.appendRun(target)
        }
        let digest = try bytes.withUnsafeBytes { try hasher.digest($0) }
        return digest[..<8].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
