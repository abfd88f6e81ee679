import Multiformats
import Spill

extension CARImport {
    /// What is known of a block, packed into a table value.
    ///
    /// Bit 0: added. Bit 1: reached from a root. The rest: 1 + where its list of links lies, or 0.
    struct BlockState {
        var bits: UInt64

        /// Linked or a root, but not added.
        static let awaited = BlockState(bits: 0)

        static func present(list: UInt64?) -> BlockState {
            BlockState(bits: 1 | (list.map { $0 + 1 } ?? 0) << 2)
        }

        var isPresent: Bool { bits & 1 != 0 }
        var list: UInt64? { bits >> 2 == 0 ? nil : bits >> 2 - 1 }

        var isReached: Bool {
            get { bits & 2 != 0 }
            set { bits = newValue ? bits | 2 : bits & ~2 }
        }
    }

    /// Links of a block, refused when its codec may have links that nobody here can read.
    static func links(
        of cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(CARImportError) -> [CID] {
        switch cid.codec {
        case .dagPB, .dagCBOR:
            do {
                return try DAGLinks.links(of: cid, block)
            } catch {
                throw .malformedBlock(error)
            }
        case .raw, .cbor, .json, .libp2pKey:
            guard block.count <= ReadingLimits.maximumBlockByteCount else {
                throw .malformedBlock(.blockTooLarge(cid, byteCount: block.count))
            }
            return []
        default:
            throw .codecWithUnknownLinks(cid)
        }
    }

    /// Replaces identity CIDs by what they link to, so that only blocks are left.
    static func resolvingIdentities(_ links: [CID]) throws(CARImportError) -> [CID] {
        guard links.contains(where: \.isIdentity) else { return links }
        var resolved: [CID] = []
        // Each identity CID lies inside the bytes of the one before, so this ends.
        var waiting = Array(links.reversed())
        while let cid = waiting.popLast() {
            guard cid.isIdentity else {
                resolved.append(cid)
                continue
            }
            let inner = try cid.withIdentityBlock { (block) throws(CARImportError) in
                try Self.links(of: cid, block)
            }
            waiting.append(contentsOf: inner.reversed())
        }
        return resolved
    }

    static func describe(
        _ cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(CARImportError) -> Root {
        var cumulative = UInt64(block.count)
        if cid.codec == .dagPB {
            do {
                for link in try DAGLinks.dagPB(cid, block).links {
                    let (sum, overflow) = cumulative.addingReportingOverflow(link.tsize)
                    cumulative = overflow ? .max : sum
                }
            } catch {
                throw .malformedBlock(error)
            }
        }
        // A block that is no UnixFS is a root like any other, only of another kind.
        guard let node = try? UnixFSNode(cid: cid, block: block) else {
            return Root(
                cid: cid, kind: nil, cumulativeByteCount: cumulative, fileByteCount: nil)
        }
        let kind: EntryKind? =
            switch node.type {
            case .file, .raw: .file
            case .directory, .hamtShard: .directory
            case .symlink: .symlink
            case .metadata: nil
            }
        return Root(
            cid: cid, kind: kind, cumulativeByteCount: cumulative,
            fileByteCount: node.isFile ? node.fileByteCount : nil)
    }
}

/// Lists of links in a scratch file: a length as 4 little-endian bytes, the CID of the block that
/// has the links, and theirs.
struct LinkListFile {
    private let file: any ScratchFile

    init(_ file: any ScratchFile) { self.file = file }

    /// - Returns: Where the list begins.
    func append(_ links: [CID], of cid: CID) throws -> UInt64 {
        var bytes: [UInt8] = [0, 0, 0, 0]
        cid.append(to: &bytes)
        for link in links { link.append(to: &bytes) }
        let count = UInt32(bytes.count - 4)
        return try bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: count.littleEndian, as: UInt32.self)
            return try file.append(UnsafeRawBufferPointer($0))
        }
    }

    func read(at offset: UInt64) throws -> (cid: CID, links: [CID]) {
        var head: UInt32 = 0
        try withUnsafeMutableBytes(of: &head) { try file.read(at: offset, into: $0) }
        var bytes = [UInt8](repeating: 0, count: Int(UInt32(littleEndian: head)))
        try bytes.withUnsafeMutableBytes { try file.read(at: offset + 4, into: $0) }
        return try bytes.withUnsafeBytes { bytes in
            var position = 0
            let cid = try CID.decode(bytes, at: &position)
            var links: [CID] = []
            while position < bytes.count { links.append(try CID.decode(bytes, at: &position)) }
            return (cid, links)
        }
    }
}
