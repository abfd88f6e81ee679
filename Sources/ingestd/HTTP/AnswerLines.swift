import Importer
import IngestAPI
import Multiformats
import NIOCore

/// Whose shape the answer of an add has.
enum AnswerDialect: Sendable {
    case cluster
    case kubo
}

/// Collects the lines of the answer of an add: one per finished entry, the root last.
///
/// Used by one task at a time. The root's own line is held back until the upload is committed, so
/// that a reader who has seen the root can rely on it.
final class AnswerLines {
    private let dialect: AnswerDialect
    private let streams: Bool
    private var bytes: [UInt8] = []
    /// The newest line; the last of all is the root's.
    private var held: (entry: ImportedEntry, allocations: [PeerID])?
    private var isFirst = true
    /// Who asks for progress wants it at once.
    private var hasProgress = false

    /// - Parameter streams: One object a line, soon after it is known; otherwise one JSON array.
    init(dialect: AnswerDialect, streams: Bool) {
        self.dialect = dialect
        self.streams = streams
    }

    /// Whether there is enough to begin the answer with, or to go on. Until then an error becomes
    /// its status.
    var isReady: Bool { hasProgress || bytes.count >= (streams ? 32 << 10 : 1 << 20) }

    /// - Parameter allocations: Peers that the entry's newest blocks go to.
    func add(_ entry: ImportedEntry, allocations: [PeerID]) {
        if let held { append(held.entry, held.allocations) }
        held = (entry, allocations)
    }

    /// - Parameter byteCount: Bytes of the file so far.
    func addProgress(of path: [UInt8], byteCount: Int) {
        separate()
        hasProgress = true
        switch dialect {
        case .cluster:
            AddedOutput.appendProgressLine(name: path, bytes: UInt64(byteCount), to: &bytes)
        case .kubo:
            KuboAddedOutput.appendProgressLine(name: path, bytes: UInt64(byteCount), to: &bytes)
        }
    }

    /// The upload is committed.
    func closeWith(_ root: ImportedEntry) {
        if let held, held.entry.cid != root.cid || held.entry.path != root.path {
            append(held.entry, held.allocations)
        }
        append(root, held?.allocations ?? [])
        held = nil
        endArray()
    }

    /// What can be sent so far.
    func takeReady() -> ByteBuffer {
        defer {
            bytes.removeAll(keepingCapacity: true)
            hasProgress = false
        }
        return ByteBuffer(bytes: bytes)
    }

    /// What was collected, and the error as the last line.
    func take(closingWith problem: Problem) -> ByteBuffer {
        separate()
        bytes += problem.body(dialect: dialect, instance: nil, requestID: nil)
        bytes.append(UInt8(ascii: "\n"))
        endArray()
        return takeReady()
    }

    /// In an array, what stands before an element.
    private func separate() {
        if !streams { bytes.append(UInt8(ascii: isFirst ? "[" : ",")) }
        isFirst = false
    }

    private func endArray() {
        if !streams { bytes += Array("]\n".utf8) }
    }

    private func append(_ entry: ImportedEntry, _ allocations: [PeerID]) {
        separate()
        switch dialect {
        case .cluster:
            AddedOutput.appendLine(
                name: entry.path, cid: entry.cid, size: entry.cumulativeByteCount,
                allocations: allocations, to: &bytes)
        case .kubo:
            // Kubo names a file without a name by its CID, and the directory around all not at all.
            let isNameless = entry.path.isEmpty && entry.kind != .directory
            let name = isNameless ? Array(entry.cid.description.utf8) : entry.path
            KuboAddedOutput.appendLine(
                name: name, cid: entry.cid, size: entry.cumulativeByteCount, to: &bytes)
        }
    }
}

extension Problem {
    /// The JSON of this error, without a line feed.
    func body(dialect: AnswerDialect, instance: String?, requestID: String?) -> [UInt8] {
        do {
            switch dialect {
            case .cluster:
                var document = ErrorDocument(
                    code, message, instance: instance, requestID: requestID)
                document.expectedOffset = uploadOffsets?.expected
                document.providedOffset = uploadOffsets?.provided
                return try JSONBody.encode(document)
            case .kubo:
                return try JSONBody.encode(KuboErrorDocument(code, message))
            }
        } catch {
            preconditionFailure("an error is strings and numbers, which JSON can hold: \(error)")
        }
    }
}
