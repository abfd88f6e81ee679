import Importer
import IngestAPI
import Multiformats
import NIOCore

/// Lists a directory, one JSON object a line: name, CID and cumulative size.
struct DirectoryStream: ByteStream {
    private static let pieceByteCount = 32 << 10

    private var walk: DirectoryWalk
    private let reader: BlockReader
    private var isEnded = false

    init(root: CID, reader: BlockReader) throws {
        walk = DirectoryWalk(root: root)
        self.reader = reader
    }

    mutating func next() async throws -> ByteBuffer? {
        var bytes: [UInt8] = []
        while !isEnded, bytes.count < Self.pieceByteCount {
            switch try walk.next() {
            case .needBlock(let cid):
                let block = try await reader.block(cid)
                try block.withUnsafeReadableBytes { try walk.supply($0, for: cid) }
            case .entry(let entry):
                AddedOutput.appendLine(
                    name: entry.name, cid: entry.cid, size: entry.tsize, to: &bytes)
            case .done:
                isEnded = true
            }
        }
        return bytes.isEmpty ? nil : ByteBuffer(bytes: bytes)
    }
}
