import Multiformats

/// A block to be listed by a `DAGWalk`, with the rule that says which of its links follow.
struct DAGWalkLink {
    enum Rule {
        /// All links.
        case everything
        /// Decided by what the block proves to be.
        case entity(EntityBytes?)
        /// A part of a file, `byteCount` bytes from `start` on: links that overlap `wanted`.
        case file(wanted: Range<Int>, start: Int, byteCount: Int)
        /// A part of a sharded directory: its child shards.
        case hamt(HAMTNode.Position)
        /// None.
        case nothing
    }

    let cid: CID
    let rule: Rule

    /// Whether the block has to be read to know which of its links follow.
    var mustRead: Bool {
        switch rule {
        case .everything: DAGLinks.canHold(cid.codec)
        case .entity, .file: cid.codec == .dagPB
        case .hamt: true
        case .nothing: false
        }
    }

    /// Whether no link of the block is left out that another place in the DAG may want.
    var followsAll: Bool {
        guard case .file(let wanted, let start, let byteCount) = rule else { return true }
        return cid.codec == .raw
            || (wanted.lowerBound <= start && start + byteCount <= wanted.upperBound)
    }

    func wantedLinksInIdentity() throws(DAGReadError) -> [DAGWalkLink] {
        try cid.withIdentityBlock { (block) throws(DAGReadError) in
            try wantedLinks(in: block)
        }
    }

    /// The links that follow, in the order they stand in the block.
    func wantedLinks(in block: UnsafeRawBufferPointer) throws(DAGReadError) -> [DAGWalkLink] {
        switch rule {
        case .everything:
            return try everything(in: block)
        case .entity(let bytes):
            return try entityLinks(in: block, bytes)
        case .file(let wanted, let start, let byteCount):
            let node = try UnixFSNode.read(cid, block)
            guard node.isFile else { throw .notAFile(cid, node.type) }
            guard node.fileByteCount == byteCount else {
                throw .sizeMismatch(cid, expected: byteCount, actual: node.fileByteCount)
            }
            return try fileLinks(of: node, from: start, wanted)
        case .hamt(let position):
            return try childShards(of: UnixFSNode.read(cid, block), block, position)
        case .nothing:
            return []
        }
    }

    private func everything(
        in block: UnsafeRawBufferPointer
    ) throws(DAGReadError) -> [DAGWalkLink] {
        try DAGLinks.links(of: cid, block).map { DAGWalkLink(cid: $0, rule: .everything) }
    }

    private func entityLinks(
        in block: UnsafeRawBufferPointer, _ bytes: EntityBytes?
    ) throws(DAGReadError) -> [DAGWalkLink] {
        let node: UnixFSNode
        do {
            node = try UnixFSNode.read(cid, block)
        } catch {
            if case .malformed(_, let reason) = error, reason.isNotUnixFS { return [] }
            throw error
        }
        switch node.type {
        case .file, .raw:
            // A whole file is walked as any DAG, so that nothing a verifying client may want is
            // missing.
            guard let bytes else { return try everything(in: block) }
            return try fileLinks(of: node, from: 0, bytes.range(inFileOf: node.fileByteCount))
        case .hamtShard:
            return try childShards(of: node, block, .init())
        case .directory, .symlink, .metadata:
            return []
        }
    }

    private func fileLinks(
        of node: UnixFSNode, from nodeStart: Int, _ wanted: Range<Int>
    ) throws(DAGReadError) -> [DAGWalkLink] {
        var links: [DAGWalkLink] = []
        var start = nodeStart + node.payload.count
        for (link, byteCount) in zip(node.links, node.blockByteCounts) {
            if (start..<start + byteCount).overlaps(wanted) {
                guard link.cid.codec == .raw || link.cid.codec == .dagPB else {
                    throw .malformed(link.cid, .codecNotUnixFS(link.cid.codec.rawValue))
                }
                links.append(
                    DAGWalkLink(
                        cid: link.cid,
                        rule: .file(wanted: wanted, start: start, byteCount: byteCount)))
            }
            start += byteCount
        }
        return links
    }

    private func childShards(
        of node: UnixFSNode, _ block: UnsafeRawBufferPointer, _ position: HAMTNode.Position
    ) throws(DAGReadError) -> [DAGWalkLink] {
        guard node.type == .hamtShard else { throw .notADirectory(cid, node.type) }
        return try HAMTNode.read(node, cid, block, at: position).slots.compactMap { slot in
            guard case .child(let child, let childPosition) = slot else { return nil }
            return DAGWalkLink(cid: child, rule: .hamt(childPosition))
        }
    }
}

extension UnixFSNodeError {
    /// Whether a valid dag-pb node simply holds something else than UnixFS.
    fileprivate var isNotUnixFS: Bool {
        switch self {
        case .noData, .truncated, .missingType, .unknownType, .wrongWireType, .repeatedField,
            .valueOutOfRange:
            true
        default: false
        }
    }
}
