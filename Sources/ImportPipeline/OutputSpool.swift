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
            var cursor = ByteCursor(bytes)
            var outputs: [ImportOutput] = []
            while !cursor.isAtEnd { outputs.append(try cursor.output()) }
            return outputs
        }
    }

    private static func append(_ output: ImportOutput, to bytes: inout [UInt8]) {
        switch output {
        case .block(let cid, let block):
            bytes.append(0)
            bytes.append(cid)
            bytes.appendRun(block)
        case .entry(let entry):
            bytes.append(1)
            bytes.append(entry.cid)
            bytes.appendRun(entry.path)
            bytes.appendNumber(entry.cumulativeByteCount)
            bytes.appendNumber(entry.fileByteCount)
            bytes.append(entry.kind.rawValue)
        }
    }
}

extension ByteCursor {
    fileprivate mutating func output() throws -> ImportOutput {
        let isBlock = try byte() == 0
        let cid = try cid()
        let run = try run()
        if isBlock { return .block(cid, run) }
        let (cumulativeByteCount, fileByteCount) = (try number(), try number())
        guard let kind = EntryKind(rawValue: try byte()) else { throw ByteCursorError() }
        return .entry(
            ImportedEntry(
                path: run, cid: cid, cumulativeByteCount: cumulativeByteCount,
                fileByteCount: fileByteCount, kind: kind))
    }
}
