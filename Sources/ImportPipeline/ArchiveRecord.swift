import Importer
import Multiformats

/// What is kept of an archive that is taken in, without the bytes of its blocks. An import that is given
/// the records of another one comes to the same state.
package enum ArchiveRecord: Equatable, Sendable {
    /// Comes first.
    case header(roots: [CID])
    /// A block that was new.
    case block(CID, byteCount: Int, CARImport.Facts)

    /// - Throws: `ImportRecordError` when the bytes are not those of records.
    package static func decodeAll(_ bytes: [UInt8]) throws -> [ArchiveRecord] {
        try ImportRecordError.decodingAll(bytes, decode)
    }

    package func append(to bytes: inout [UInt8]) {
        switch self {
        case .header(let roots):
            bytes.append(0)
            Self.append(roots, to: &bytes)
        case .block(let cid, let byteCount, let facts):
            bytes.append(1)
            bytes.append(cid)
            bytes.appendNumber(UInt64(byteCount))
            Self.append(facts.links, to: &bytes)
            bytes.appendNumber(UInt64(facts.roots.count))
            for root in facts.roots { Self.append(root, to: &bytes) }
        }
    }

    private static func decode(_ cursor: inout ByteCursor) throws -> ArchiveRecord {
        switch try cursor.byte() {
        case 0: return .header(roots: try cids(&cursor))
        case 1:
            let (cid, byteCount) = (try cursor.cid(), try cursor.count())
            let links = try cids(&cursor)
            var roots: [CARImport.Root] = []
            for _ in 0..<(try cursor.count()) { roots.append(try root(&cursor)) }
            return .block(cid, byteCount: byteCount, CARImport.Facts(links: links, roots: roots))
        default: throw ByteCursorError()
        }
    }

    // MARK: - Parts

    private static func append(_ cids: [CID], to bytes: inout [UInt8]) {
        bytes.appendNumber(UInt64(cids.count))
        for cid in cids { bytes.append(cid) }
    }

    private static func cids(_ cursor: inout ByteCursor) throws -> [CID] {
        var cids: [CID] = []
        for _ in 0..<(try cursor.count()) { cids.append(try cursor.cid()) }
        return cids
    }

    /// What there may be none of is one more than itself, or 0.
    private static func append(_ root: CARImport.Root, to bytes: inout [UInt8]) {
        bytes.append(root.cid)
        bytes.append(root.kind.map { $0.rawValue + 1 } ?? 0)
        bytes.appendNumber(root.cumulativeByteCount)
        bytes.appendNumber(root.fileByteCount.map { UInt64($0) + 1 } ?? 0)
    }

    private static func root(_ cursor: inout ByteCursor) throws -> CARImport.Root {
        let cid = try cursor.cid()
        let tag = try cursor.byte()
        let kind = tag == 0 ? nil : EntryKind(rawValue: tag - 1)
        guard tag == 0 || kind != nil else { throw ByteCursorError() }
        let cumulative = try cursor.number()
        let next = try cursor.number()
        guard next <= UInt64(Int.max) + 1 else { throw ByteCursorError() }
        return CARImport.Root(
            cid: cid, kind: kind, cumulativeByteCount: cumulative,
            fileByteCount: next == 0 ? nil : Int(next - 1))
    }
}
