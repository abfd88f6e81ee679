import Importer
import Multiformats
import Spill

/// Holds what one call of the importer produces when that is too much for memory: closing a
/// directory of a million entries makes its blocks in one go, and the importer does not wait.
final class OutputSpool {
    private let scratch: any ScratchSpace
    private var file: (any ScratchFile)?
    private var portions: [(offset: UInt64, byteCount: Int)] = []

    init(scratch: any ScratchSpace) {
        self.scratch = scratch
    }

    /// Keeps a portion of output.
    func write(_ outputs: [ImportOutput]) throws {
        let file = try self.file ?? scratch.makeFile()
        self.file = file
        var bytes: [UInt8] = []
        for output in outputs { Self.append(output, to: &bytes) }
        let offset = try bytes.withUnsafeBytes { try file.append($0) }
        portions.append((offset, bytes.count))
    }

    /// The oldest portion that was not taken yet.
    func takePortion() throws -> [ImportOutput]? {
        guard let file, !portions.isEmpty else { return nil }
        let (offset, byteCount) = portions.removeFirst()
        if portions.isEmpty { self.file = nil }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        try bytes.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
        return try bytes.withUnsafeBytes { bytes in
            var cursor = Cursor(bytes: bytes)
            var outputs: [ImportOutput] = []
            while cursor.position < bytes.count { outputs.append(try cursor.output()) }
            return outputs
        }
    }

    private static func append(_ output: ImportOutput, to bytes: inout [UInt8]) {
        switch output {
        case .block(let cid, let block):
            bytes.append(0)
            append(cid, to: &bytes)
            append(block, to: &bytes)
        case .entry(let entry):
            bytes.append(1)
            append(entry.cid, to: &bytes)
            append(entry.path, to: &bytes)
            Varint.append(entry.cumulativeByteCount, to: &bytes)
            Varint.append(entry.fileByteCount, to: &bytes)
            bytes.append(entry.kind.rawValue)
        }
    }

    private static func append(_ cid: CID, to bytes: inout [UInt8]) {
        cid.append(to: &bytes)
    }

    private static func append(_ run: [UInt8], to bytes: inout [UInt8]) {
        Varint.append(UInt64(run.count), to: &bytes)
        bytes.append(contentsOf: run)
    }
}

/// Reads back what `OutputSpool` wrote.
private struct Cursor {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    mutating func output() throws -> ImportOutput {
        let isBlock = byte() == 0
        let cid = try CID.decode(bytes, at: &position)
        let run = try run()
        if isBlock { return .block(cid, run) }
        let cumulativeByteCount = try Varint.decode(bytes, at: &position)
        let fileByteCount = try Varint.decode(bytes, at: &position)
        guard let kind = EntryKind(rawValue: byte()) else {
            preconditionFailure("the spool reads what it wrote")
        }
        return .entry(
            ImportedEntry(
                path: run, cid: cid, cumulativeByteCount: cumulativeByteCount,
                fileByteCount: fileByteCount, kind: kind))
    }

    private mutating func byte() -> UInt8 {
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func run() throws -> [UInt8] {
        let count = Int(try Varint.decode(bytes, at: &position))
        defer { position += count }
        return Array(bytes[position..<position + count])
    }
}
