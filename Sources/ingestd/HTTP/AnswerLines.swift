import Importer
import IngestAPI
import Multiformats
import NIOCore
import Spill

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
    private let scratch: any ScratchSpace
    /// The end of what nobody has taken yet; what was there before it is in the file.
    private var bytes: [UInt8] = []
    private var file: (any ScratchFile)?
    private var takenByteCount: UInt64 = 0
    /// The newest line; the last of all is the root's.
    private var held: (entry: ImportedEntry, allocations: [PeerID])?
    private var isFirst = true
    /// Who asks for progress wants it at once.
    private var hasProgress = false

    /// One body can bring many entries with long paths at once; most of them are lines in memory, and
    /// most on disk.
    private static let memoryByteCount = 1 << 20
    private static let fileByteLimit: UInt64 = 1 << 30

    /// - Parameters:
    ///   - streams: One object a line, soon after it is known; otherwise one JSON array.
    ///   - scratch: Where lines wait that are too many for memory.
    init(dialect: AnswerDialect, streams: Bool, scratch: any ScratchSpace) {
        self.scratch = scratch
        self.dialect = dialect
        self.streams = streams
    }

    /// Whether there is enough to begin the answer with, or to go on. Until then an error becomes
    /// its status.
    var isReady: Bool {
        isLong || hasProgress || bytes.count >= (streams ? 32 << 10 : Self.memoryByteCount)
    }

    /// Whether what can be sent takes more than one `takeReady`.
    var isLong: Bool { file != nil }

    /// - Parameter allocations: Peers that the entry's newest blocks go to.
    ///
    /// - Throws: When lines cannot be kept, or too many wait.
    func add(_ entry: ImportedEntry, allocations: [PeerID]) throws {
        if let held { append(held.entry, held.allocations) }
        held = (entry, allocations)
        if bytes.count >= 2 * Self.memoryByteCount { try moveToFile() }
    }

    private func moveToFile() throws {
        let file = try self.file ?? scratch.makeFile()
        self.file = file
        guard file.byteCount < Self.fileByteLimit else {
            throw Problem(
                .bodyTooLarge,
                "the entries that came at once make an answer of more than 1 GiB; send fewer of them, or "
                    + "with shorter paths, in one upload")
        }
        _ = try bytes.withUnsafeBytes { try file.append($0) }
        bytes.removeAll(keepingCapacity: true)
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

    /// What can be sent so far, or the next part of it.
    func takeReady() throws -> ByteBuffer {
        if let file { return try takePart(of: file) }
        defer {
            bytes.removeAll(keepingCapacity: true)
            hasProgress = false
        }
        return ByteBuffer(bytes: bytes)
    }

    private func takePart(of file: any ScratchFile) throws -> ByteBuffer {
        let count = Int(min(file.byteCount - takenByteCount, UInt64(Self.memoryByteCount)))
        var part = ByteBufferAllocator().buffer(capacity: count)
        try part.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
            try file.read(
                at: takenByteCount, into: UnsafeMutableRawBufferPointer(rebasing: space[..<count]))
            return count
        }
        takenByteCount += UInt64(count)
        if takenByteCount == file.byteCount { (self.file, takenByteCount) = (nil, 0) }
        return part
    }

    /// The error is the last line.
    func closeWith(_ problem: Problem) {
        separate()
        bytes += problem.body(dialect: dialect, instance: nil, requestID: nil)
        bytes.append(UInt8(ascii: "\n"))
        endArray()
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
