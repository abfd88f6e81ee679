import Multiformats

/// One name in a directory.
package struct DirectoryEntry: Equatable, Sendable {
    /// Any bytes: not necessarily UTF-8, and in a hostile directory even `..` or `a/b`.
    package let name: [UInt8]
    package let cid: CID
    /// Cumulative size of the entry as its directory says; nothing proves it.
    package let tsize: UInt64

    /// Whether the name can be one component of a path: not empty, `.` or `..`, and without `/` or
    /// a zero byte. Anything that writes entries to a file system must refuse the others.
    package var isPathComponent: Bool {
        !name.isEmpty && name != [0x2e] && name != [0x2e, 0x2e]
            && !name.contains(0x2f) && !name.contains(0)
    }
}

/// Lists a basic or sharded directory, one entry at a time.
///
/// It does no I/O: `next` says which block it needs and `supply` takes it. Basic directories are
/// listed in the order of their links, sharded ones in the order of the names' hashes. Memory: one
/// block's links a level; a sharded directory has at most 21 levels.
package struct DirectoryWalk: Sendable {
    package enum Step: Sendable {
        /// Give this block to `supply` before calling `next` again.
        case needBlock(CID)
        case entry(DirectoryEntry)
        case done
    }

    private struct Frame {
        let slots: [HAMTNode.Slot]
        var next = 0
    }

    private var frames: [Frame] = []
    private var awaited: (cid: CID, position: HAMTNode.Position)?

    /// Whether the directory is a sharded one; known once its first block was supplied.
    package private(set) var isSharded: Bool?

    package init(root: CID) {
        awaited = (root, .init())
    }

    /// The next thing to do. Asking again without supplying an awaited block gives the same answer.
    package mutating func next() throws(DAGReadError) -> Step {
        while true {
            if let (cid, position) = awaited {
                guard cid.isIdentity else { return .needBlock(cid) }
                awaited = nil
                try cid.withIdentityBlock { (block) throws(DAGReadError) in
                    try open(cid, block, position)
                }
            }
            guard let slot = takeSlot() else { return .done }
            switch slot {
            case .entry(let entry): return .entry(entry)
            case .child(let cid, let position): awaited = (cid, position)
            }
        }
    }

    /// Takes the block that `next` asked for.
    ///
    /// - Parameter block: Its bytes, already verified against `cid`; not kept.
    /// - Throws: `unexpectedBlock` for a block nobody asked for, `notADirectory`, or what is wrong
    ///   with the block.
    package mutating func supply(
        _ block: UnsafeRawBufferPointer, for cid: CID
    ) throws(DAGReadError) {
        guard let (expected, position) = awaited, expected == cid else {
            throw .unexpectedBlock(cid, awaited: awaited?.cid)
        }
        awaited = nil
        try open(cid, block, position)
    }

    /// CIDs of the directory's own blocks that will be asked for next, in that order, without the
    /// awaited one.
    package func lookahead(_ count: Int) -> [CID] {
        var found: [CID] = []
        for frame in frames.reversed() {
            for slot in frame.slots[frame.next...] {
                if found.count >= count { return found }
                if case .child(let cid, _) = slot, !cid.isIdentity { found.append(cid) }
            }
        }
        return found
    }

    private mutating func takeSlot() -> HAMTNode.Slot? {
        while let last = frames.indices.last {
            if frames[last].next < frames[last].slots.count {
                defer { frames[last].next += 1 }
                return frames[last].slots[frames[last].next]
            }
            frames.removeLast()
        }
        return nil
    }

    private mutating func open(
        _ cid: CID, _ block: UnsafeRawBufferPointer, _ position: HAMTNode.Position
    ) throws(DAGReadError) {
        let node = try UnixFSNode.read(cid, block)
        if position.level == 0 { isSharded = node.type == .hamtShard }
        switch node.type {
        case .hamtShard:
            frames.append(
                Frame(slots: try HAMTNode.read(node, cid, block, at: position).slots))
        case .directory where position.level == 0:
            frames.append(
                Frame(
                    slots: node.links.map {
                        .entry(DirectoryEntry(name: $0.name, cid: $0.cid, tsize: $0.tsize))
                    }))
        default:
            throw .notADirectory(cid, node.type)
        }
    }
}

extension HAMTNode {
    /// Decodes a block for a walk, which wants errors to name the block.
    static func read(
        _ node: UnixFSNode, _ cid: CID, _ block: UnsafeRawBufferPointer, at position: Position
    ) throws(DAGReadError) -> HAMTNode {
        do {
            return try HAMTNode(node, block: block, at: position)
        } catch {
            throw .malformed(cid, error)
        }
    }
}
