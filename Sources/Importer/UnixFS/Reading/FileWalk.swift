import Multiformats

/// Walks the leaves of a UnixFS file in file order, for the whole file or a range of its bytes.
///
/// It does no I/O: `next` says which block it needs, the caller fetches and verifies that block and
/// hands it to `supply`. Balanced and trickle layouts, raw and dag-pb leaves, identity CIDs and
/// nodes with both bytes and links are all walked.
///
/// A link with the raw codec is announced as a leaf without its block. A dag-pb link may be a leaf
/// or an inner node, so its block is asked for first; when it proves to be a leaf, the next step
/// announces it, and the caller still has the block. `lookahead` lists what will be wanted soon, so
/// that blocks of either kind can be fetched in parallel.
///
/// Memory: the links of one node a level, at most `ReadingLimits.maximumOpenLinkCount` together.
/// Links that hold no bytes of the range, and links to nothing (size 0), are never followed.
package struct FileWalk: Sendable {
    package enum Step: Sendable {
        /// Give this block to `supply` before calling `next` again.
        case needBlock(CID)
        /// The next wanted bytes are in this leaf.
        case leaf(FileLeaf)
        /// The next wanted bytes, which are in no block of their own.
        case inlineData([UInt8])
        case done
    }

    private struct Link: Sendable {
        let cid: CID
        let start: Int
        let byteCount: Int
        var end: Int { start + byteCount }
    }

    private struct Frame: Sendable {
        let links: [Link]
        var next = 0
        /// Levels between these links and the root.
        let level: Int
    }

    private enum Piece: Sendable {
        case leaf(CID, start: Int, byteCount: Int)
        case bytes([UInt8], start: Int)
    }

    private var range: Range<Int>
    private var frames: [Frame] = []
    private var openLinkCount = 0
    private var pieces: [Piece] = []
    private var awaited: (link: Link, level: Int)?

    /// Length of the file in bytes; known once the root was supplied, or at once when the root is
    /// an identity CID.
    package private(set) var fileByteCount: Int?

    /// - Parameters:
    ///   - root: A file, or a part of one.
    ///   - range: Wanted bytes; what lies beyond the end is left out. `nil` means the whole file.
    /// - Throws: When `root` is an identity CID that holds no file.
    package init(root: CID, range: Range<Int>? = nil) throws(DAGReadError) {
        self.range = range ?? 0..<Int.max
        let link = Link(cid: root, start: 0, byteCount: 0)
        if root.isIdentity {
            try openIdentity(link, level: 0)
        } else {
            awaited = (link, 0)
        }
    }

    /// Narrows the walk to a range of the file, for callers that need `fileByteCount` to know which.
    ///
    /// Bytes announced before the call are not taken back.
    package mutating func select(_ range: Range<Int>) {
        self.range = range
    }

    /// The next thing to do. Asking again without supplying an awaited block gives the same answer.
    package mutating func next() throws(DAGReadError) -> Step {
        while true {
            if let awaited { return .needBlock(awaited.link.cid) }
            if !pieces.isEmpty {
                if let step = clipped(pieces.removeFirst()) { return step }
                continue
            }
            guard let (link, level) = takeLink() else { return .done }
            if link.cid.isIdentity {
                try openIdentity(link, level: level)
            } else if link.cid.codec == .raw {
                pieces.append(try rawLeaf(link))
            } else {
                awaited = (link, level)
            }
        }
    }

    /// Takes the block that `next` asked for.
    ///
    /// - Parameter block: Its bytes, already verified against `cid`; not kept.
    /// - Throws: `unexpectedBlock` for a block nobody asked for; otherwise what is wrong with it.
    package mutating func supply(
        _ block: UnsafeRawBufferPointer, for cid: CID
    ) throws(DAGReadError) {
        guard let (link, level) = awaited, link.cid == cid else {
            throw .unexpectedBlock(cid, awaited: awaited?.link.cid)
        }
        awaited = nil
        try open(link, block: block, level: level)
    }

    /// CIDs that will probably be asked for or announced next, in that order, without the awaited
    /// one.
    ///
    /// Of links to whole subtrees only the next is listed at each level: what follows it is far off.
    package func lookahead(_ count: Int) -> [CID] {
        var found: [CID] = []
        for frame in frames.reversed() {
            for link in frame.links[frame.next...] where link.byteCount > 0 {
                if link.end <= range.lowerBound { continue }
                if found.count >= count { return found }
                if link.start >= range.upperBound { break }
                if !link.cid.isIdentity { found.append(link.cid) }
                if link.byteCount > ReadingLimits.maximumBlockByteCount { break }
            }
        }
        return found
    }

    // MARK: Links

    private mutating func takeLink() -> (Link, level: Int)? {
        if range.isEmpty { return nil }
        while var frame = frames.popLast() {
            while frame.next < frame.links.count {
                let link = frame.links[frame.next]
                frame.next += 1
                guard link.byteCount > 0, link.end > range.lowerBound else { continue }
                guard link.start < range.upperBound else { break }
                if frame.next < frame.links.count {
                    frames.append(frame)
                } else {
                    openLinkCount -= frame.links.count
                }
                return (link, frame.level)
            }
            openLinkCount -= frame.links.count
        }
        return nil
    }

    private func rawLeaf(_ link: Link) throws(DAGReadError) -> Piece {
        guard link.byteCount <= ReadingLimits.maximumBlockByteCount else {
            throw .malformed(link.cid, .leafTooLong(byteCount: link.byteCount))
        }
        return .leaf(link.cid, start: link.start, byteCount: link.byteCount)
    }

    /// The part of a piece that is wanted, if any.
    private func clipped(_ piece: Piece) -> Step? {
        switch piece {
        case .leaf(let cid, let start, let byteCount):
            let wanted = (start..<start + byteCount).clamped(to: range)
            if wanted.isEmpty { return nil }
            return .leaf(
                FileLeaf(
                    cid: cid, fileRange: wanted, offsetInLeaf: wanted.lowerBound - start,
                    leafByteCount: byteCount))
        case .bytes(let bytes, let start):
            let wanted = (start..<start + bytes.count).clamped(to: range)
            if wanted.isEmpty { return nil }
            return .inlineData(
                Array(bytes[wanted.lowerBound - start..<wanted.upperBound - start]))
        }
    }

    // MARK: Nodes

    private mutating func openIdentity(_ link: Link, level: Int) throws(DAGReadError) {
        try link.cid.withIdentityBlock { (block) throws(DAGReadError) in
            try open(link, block: block, level: level)
        }
    }

    private mutating func open(
        _ link: Link, block: UnsafeRawBufferPointer, level: Int
    ) throws(DAGReadError) {
        let node = try UnixFSNode.read(link.cid, block)
        guard node.isFile else { throw .notAFile(link.cid, node.type) }
        if level == 0 {
            fileByteCount = node.fileByteCount
        } else if node.fileByteCount != link.byteCount {
            throw .sizeMismatch(link.cid, expected: link.byteCount, actual: node.fileByteCount)
        }
        if !node.payload.isEmpty {
            let isBlockOfItsOwn = node.links.isEmpty && !link.cid.isIdentity
            pieces.append(
                isBlockOfItsOwn
                    ? .leaf(link.cid, start: link.start, byteCount: node.payload.count)
                    : .bytes(Array(block[node.payload]), start: link.start))
        }
        if !node.links.isEmpty {
            try push(node, of: link, level: level + 1)
        }
    }

    private mutating func push(
        _ node: UnixFSNode, of parent: Link, level: Int
    ) throws(DAGReadError) {
        guard level <= ReadingLimits.maximumFileDepth else {
            throw .tooDeep(parent.cid, limit: ReadingLimits.maximumFileDepth)
        }
        openLinkCount += node.links.count
        guard openLinkCount <= ReadingLimits.maximumOpenLinkCount else {
            throw .tooManyOpenLinks(parent.cid, limit: ReadingLimits.maximumOpenLinkCount)
        }
        var start = parent.start + node.payload.count
        var links: [Link] = []
        links.reserveCapacity(node.links.count)
        for (link, byteCount) in zip(node.links, node.blockByteCounts) {
            links.append(Link(cid: link.cid, start: start, byteCount: byteCount))
            start += byteCount
        }
        frames.append(Frame(links: links, level: level))
    }
}

extension UnixFSNode {
    /// Decodes a block for a walk, which wants errors to name the block.
    static func read(
        _ cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(DAGReadError) -> UnixFSNode {
        guard block.count <= ReadingLimits.maximumBlockByteCount else {
            throw .blockTooLarge(cid, byteCount: block.count)
        }
        do {
            return try UnixFSNode(cid: cid, block: block)
        } catch {
            throw .malformed(cid, error)
        }
    }
}

extension CID {
    /// Calls `body` with the block that an identity CID holds.
    func withIdentityBlock<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(isIdentity, "only an identity CID holds its block")
        return try withDigest(body)
    }
}
