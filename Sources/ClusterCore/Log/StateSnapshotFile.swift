import GRDB
import Pinset
import PosixIO

extension StateStore {
    /// Saves the state, as of one transaction, as the lines of a `StateSnapshot`.
    ///
    /// Reads row by row on a thread of its own, so neither the log nor memory notices. Durable when it
    /// returns; a part may be left when it throws.
    ///
    /// - Returns: The index up to which the state has applied the log.
    func saveSnapshot(to path: String) async throws -> LogIndex {
        try await QueueExecutor(label: "state-snapshot").perform {
            try FileSystem.removeFile(path)
            var file = try LineWriter(path)
            var snapshot = StateSnapshotWriter()
            var applied = LogIndex.beforeFirst
            try file.add(snapshot.head)
            try self.forEachSavedRow { row in
                if row.table == .header { applied = try row.appliedIndex() }
                try file.add(snapshot.line(of: row))
            }
            try file.add(snapshot.end)
            try file.finish()
            return applied
        }
    }
}

extension StateSnapshot {
    /// No row is longer than the largest command in text, by a wide margin.
    private static let lineByteLimit = 16 << 20
    private static let pieceByteCount = 1 << 20

    /// Reads a snapshot from a file, and checks it.
    static func load(from path: String) throws -> PinsetState {
        let file = try FileDescriptor(path, for: .read)
        let end = try file.loadByteCount()
        var reader = StateSnapshotReader()
        var rest: [UInt8] = []
        for start in stride(from: 0, to: end, by: pieceByteCount) {
            rest += try file.readAll(count: min(pieceByteCount, end - start), at: start)
            let lines = rest.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            for line in lines.dropLast() { try reader.add(Array(line)) }
            rest = Array(lines.last ?? [])
            guard rest.count <= lineByteLimit else {
                throw SnapshotError.malformedLine(number: 0, reason: "a line is too long")
            }
        }
        // A last line without its line feed is a file that was cut.
        return try reader.finish()
    }
}

/// Writes lines to a new file in large pieces.
private struct LineWriter {
    private static let pieceByteCount = 1 << 20

    private let file: FileDescriptor
    private var bytes: [UInt8] = []
    private var position = 0

    init(_ path: String) throws {
        file = try FileDescriptor(path, for: .create, permissions: 0o600)
    }

    mutating func add(_ line: [UInt8]) throws {
        bytes += line
        bytes.append(UInt8(ascii: "\n"))
        if bytes.count >= Self.pieceByteCount { try flush() }
    }

    mutating func finish() throws {
        try flush()
        try file.synchronize()
    }

    private mutating func flush() throws {
        try file.writeAll(bytes, at: position)
        position += bytes.count
        bytes.removeAll(keepingCapacity: true)
    }
}
