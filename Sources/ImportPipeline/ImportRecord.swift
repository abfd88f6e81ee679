import Importer
import Multiformats

/// One step of an import that is settled, with content replaced by the CIDs of its chunks. An import
/// that is given the records of another one comes to the same state, without the content.
package enum ImportRecord: Equatable, Sendable {
    case beginFile(ImportPath, EntryMetadata)
    case leaf(CID, chunkByteCount: Int)
    case endFile
    /// Ends a file whose only leaf carries the file's metadata, and so is made at its end.
    case endFileOfOneLeaf(LeafReference)
    case directory(ImportPath, EntryMetadata)
    case symlink(ImportPath, target: [UInt8], EntryMetadata)

    /// - Throws: `ImportRecordError` when the bytes are not those of records.
    package static func decodeAll(_ bytes: [UInt8]) throws -> [ImportRecord] {
        try ImportRecordError.decodingAll(bytes, decode)
    }

    package func append(to bytes: inout [UInt8]) {
        bytes.append(tag)
        switch self {
        case .beginFile(let path, let metadata), .directory(let path, let metadata):
            Self.append(path, metadata, to: &bytes)
        case .leaf(let cid, let chunkByteCount):
            bytes.append(cid)
            bytes.appendNumber(UInt64(chunkByteCount))
        case .endFile: break
        case .endFileOfOneLeaf(let leaf):
            bytes.append(leaf.cid)
            bytes.appendNumber(UInt64(leaf.blockByteCount))
            bytes.appendNumber(UInt64(leaf.fileByteCount))
        case .symlink(let path, let target, let metadata):
            Self.append(path, metadata, to: &bytes)
            bytes.appendRun(target)
        }
    }

    private var tag: UInt8 {
        switch self {
        case .beginFile: 0
        case .leaf: 1
        case .endFile: 2
        case .endFileOfOneLeaf: 3
        case .directory: 4
        case .symlink: 5
        }
    }

    private static func decode(_ cursor: inout ByteCursor) throws -> ImportRecord {
        switch try cursor.byte() {
        case 0: return .beginFile(try path(&cursor), try metadata(&cursor))
        case 1: return .leaf(try cursor.cid(), chunkByteCount: try cursor.count())
        case 2: return .endFile
        case 3:
            return .endFileOfOneLeaf(
                LeafReference(
                    cid: try cursor.cid(), blockByteCount: try cursor.count(),
                    fileByteCount: try cursor.count()))
        case 4: return .directory(try path(&cursor), try metadata(&cursor))
        case 5:
            let (path, metadata) = (try path(&cursor), try metadata(&cursor))
            return .symlink(path, target: try cursor.run(), metadata)
        default: throw ByteCursorError()
        }
    }

    // MARK: - Parts

    private static let (hasMode, hasMtime): (UInt8, UInt8) = (1, 2)

    private static func append(
        _ path: ImportPath, _ metadata: EntryMetadata, to bytes: inout [UInt8]
    ) {
        bytes.appendNumber(UInt64(path.components.count))
        for name in path.components { bytes.appendRun(name) }
        bytes.append(
            (metadata.mode == nil ? 0 : hasMode) | (metadata.mtime == nil ? 0 : hasMtime))
        if let mode = metadata.mode { bytes.appendNumber(UInt64(mode)) }
        if let mtime = metadata.mtime {
            bytes.appendNumber(UInt64(bitPattern: mtime.seconds))
            bytes.appendNumber(UInt64(mtime.nanoseconds))
        }
    }

    private static func path(_ cursor: inout ByteCursor) throws -> ImportPath {
        var names: [[UInt8]] = []
        for _ in 0..<(try cursor.count()) {
            let name = try cursor.run()
            guard !name.isEmpty else { throw ByteCursorError() }
            names.append(name)
        }
        return try ImportPath(components: names)
    }

    private static func metadata(_ cursor: inout ByteCursor) throws -> EntryMetadata {
        let fields = try cursor.byte()
        var metadata = EntryMetadata()
        if fields & hasMode != 0 { metadata.mode = UInt32(truncatingIfNeeded: try cursor.number()) }
        if fields & hasMtime != 0 {
            metadata.mtime = UnixFSTime(
                seconds: Int64(bitPattern: try cursor.number()),
                nanoseconds: UInt32(truncatingIfNeeded: try cursor.number()))
        }
        return metadata
    }
}

package struct ImportRecordError: Error, CustomStringConvertible {
    let offset: Int

    package init(offset: Int) { self.offset = offset }

    package var description: String { "at byte \(offset) is no record of an import" }

    static func decodingAll<Record>(
        _ bytes: [UInt8], _ decode: (inout ByteCursor) throws -> Record
    ) throws -> [Record] {
        try bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            var records: [Record] = []
            do {
                while !cursor.isAtEnd { records.append(try decode(&cursor)) }
            } catch {
                throw ImportRecordError(offset: cursor.position)
            }
            return records
        }
    }
}
