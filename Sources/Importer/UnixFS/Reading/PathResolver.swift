import Multiformats

/// Why a path leads nowhere.
package enum PathResolutionError: Error, CustomStringConvertible {
    /// The directory `parent` has no entry of this name.
    case notFound(component: [UInt8], parent: CID)
    /// `component` was looked up in something that has no entries.
    case notADirectory(component: [UInt8], parent: CID)
    /// `component` was looked up in a symlink; symlinks are not followed.
    case symlinkInPath(component: [UInt8], link: CID, target: [UInt8])
    case unreadable(DAGReadError)

    package var description: String {
        switch self {
        case .notFound(let component, let parent):
            "no entry named \(quoted(component)) in directory \(parent)"
        case .notADirectory(let component, let parent):
            "cannot look up \(quoted(component)) in \(parent), which is not a directory"
        case .symlinkInPath(let component, let link, let target):
            "cannot look up \(quoted(component)) in \(link), a symlink to \(quoted(target)); "
                + "symlinks are not followed, ask for the target's path"
        case .unreadable(let error): error.description
        }
    }
}

/// Finds what a path below a root names, through basic and sharded directories.
///
/// It does no I/O: `next` says which block it needs and `supply` takes it. Names are compared byte
/// by byte. Of a sharded directory only the shards on the way are read. What the path names is not
/// fetched: it may be anything, also a symlink, which `UnixFSNode` tells.
package struct PathResolver: Sendable {
    package struct Resolution: Equatable, Sendable {
        /// What the path names.
        package let terminal: CID
        /// Blocks of the directories from the root down to `terminal`, which is not among them.
        package let blocksOnTheWay: [CID]
    }

    package enum Step: Equatable, Sendable {
        /// Give this block to `supply` before calling `next` again.
        case needBlock(CID)
        case resolved(Resolution)
    }

    private let path: [[UInt8]]
    private var nextComponent = 0
    private var current: CID
    private var position = HAMTNode.Position()
    private var blocksOnTheWay: [CID] = []

    /// - Parameter path: Names from the root down; empty when the root itself is meant.
    package init(root: CID, path: [[UInt8]]) {
        current = root
        self.path = path
    }

    /// The next thing to do. Asking again without supplying an awaited block gives the same answer.
    package mutating func next() throws(PathResolutionError) -> Step {
        while nextComponent < path.count {
            guard current.codec == .dagPB else {
                throw .notADirectory(component: path[nextComponent], parent: current)
            }
            guard current.isIdentity else { return .needBlock(current) }
            let cid = current
            try cid.withIdentityBlock { (block) throws(PathResolutionError) in
                try descend(block)
            }
        }
        return .resolved(Resolution(terminal: current, blocksOnTheWay: blocksOnTheWay))
    }

    /// Takes the block that `next` asked for.
    ///
    /// - Parameter block: Its bytes, already verified against `cid`; not kept.
    package mutating func supply(
        _ block: UnsafeRawBufferPointer, for cid: CID
    ) throws(PathResolutionError) {
        guard nextComponent < path.count, cid == current else {
            throw .unreadable(
                .unexpectedBlock(cid, awaited: nextComponent < path.count ? current : nil))
        }
        try descend(block)
    }

    private mutating func descend(
        _ block: UnsafeRawBufferPointer
    ) throws(PathResolutionError) {
        let slot: HAMTNode.Slot?
        do {
            slot = try find(path[nextComponent], in: block)
        } catch {
            switch error {
            case .notADirectory(let cid, .symlink): throw try symlinkError(cid, block)
            case .notADirectory(let cid, _):
                throw .notADirectory(component: path[nextComponent], parent: cid)
            default: throw .unreadable(error)
            }
        }
        guard let slot else {
            throw .notFound(component: path[nextComponent], parent: current)
        }
        blocksOnTheWay.append(current)
        switch slot {
        case .entry(let entry):
            current = entry.cid
            position = .init()
            nextComponent += 1
        case .child(let cid, let childPosition):
            current = cid
            position = childPosition
        }
    }

    private func find(
        _ name: [UInt8], in block: UnsafeRawBufferPointer
    ) throws(DAGReadError) -> HAMTNode.Slot? {
        let node = try UnixFSNode.read(current, block)
        switch node.type {
        case .hamtShard:
            let shard = try HAMTNode.read(node, current, block, at: position)
            return shard.slot(for: name, hash: HAMTNode.hash(name))
        case .directory where position.level == 0:
            return node.links.first { $0.name == name }.map {
                .entry(DirectoryEntry(name: $0.name, cid: $0.cid, tsize: $0.tsize))
            }
        default:
            throw .notADirectory(current, node.type)
        }
    }

    private func symlinkError(
        _ cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(PathResolutionError) -> PathResolutionError {
        do {
            let node = try UnixFSNode.read(cid, block)
            return .symlinkInPath(
                component: path[nextComponent], link: cid, target: Array(block[node.payload]))
        } catch {
            throw .unreadable(error)
        }
    }
}
