import Multiformats
import Spill

/// Lists the blocks of a CAR answer in depth-first pre-order: the directories of a path, then what
/// the path names, as far as the scope wants it (trustless gateway specification).
///
/// It does no I/O: each step names a block and says whether `supply` must be given its bytes to go
/// on. Identity CIDs are followed but never listed, because they have no block. Blocks of codecs
/// other than dag-pb and dag-cbor are leaves.
///
/// Memory does not grow with the DAG: at most `openLinkLimit` links (about 8 MiB) plus those of one
/// node. When open nodes hold more, the one that is needed last is forgotten and asked for again
/// on the way back. A node is open until its last link is taken, so chains of any length cost
/// nothing; more than `openNodeLimit` open nodes are an error. Copies share the table of listed blocks: use
/// one.
package struct DAGWalk {
    package enum Scope: Equatable, Sendable {
        /// What the path names, that one block.
        case block
        /// The whole file or the bytes wanted of it; a directory without what its entries name.
        /// Anything that is not UnixFS counts as one block.
        case entity(EntityBytes?)
        /// Everything below.
        case all
    }

    package enum Step: Equatable, Sendable {
        /// The next section of the CAR. When `mustSupply`, give it to `supply` before calling
        /// `next` again.
        case section(CID, mustSupply: Bool)
        /// Not a section, but its links are needed: give it to `supply`.
        case needBlock(CID)
        case done
    }

    private struct Frame {
        let node: DAGWalkLink
        /// Empty once forgotten.
        var links: [DAGWalkLink]
        let linkCount: Int
        var next = 0
    }

    private let openLinkLimit: Int
    private let openNodeLimit: Int
    private var path: ArraySlice<CID>
    private var start: DAGWalkLink?
    private var frames: [Frame] = []
    /// Links held by `frames`; those below `rememberedFrom` hold none.
    private(set) var openLinkCount = 0
    private var rememberedFrom = 0
    private var awaited: (link: DAGWalkLink, isReturn: Bool)?

    /// CIDs listed so far, unless they may be listed again; the value is 1 when all that is wanted
    /// below was listed too.
    private let listed: SpillTable?
    private let keys: CIDKeys

    /// - Parameters:
    ///   - blocksOnTheWay: Directory blocks of the path, as `PathResolver` found them.
    ///   - terminal: What the path names.
    ///   - listsDuplicates: Whether a block that occurs again is listed again (`dups=y`).
    ///   - scratch: For the CIDs listed, when duplicates are not.
    ///   - seed: A random number: whoever made the DAG must not foresee how the table is laid out.
    ///   - openLinkLimit: Links kept in memory, apart from those of one node.
    ///   - openNodeLimit: Nodes that may be open at once.
    package init(
        blocksOnTheWay: [CID] = [], terminal: CID, scope: Scope, listsDuplicates: Bool,
        scratch: any ScratchSpace, seed: UInt64, openLinkLimit: Int = 65_536,
        openNodeLimit: Int = 65_536
    ) {
        path = blocksOnTheWay[...]
        let rule: DAGWalkLink.Rule =
            switch scope {
            case .block: .nothing
            case .entity(let bytes): .entity(bytes)
            case .all: .everything
            }
        start = DAGWalkLink(cid: terminal, rule: rule)
        keys = CIDKeys(seed: seed)
        listed = listsDuplicates ? nil : SpillTable(scratch: scratch, seed: seed)
        self.openLinkLimit = openLinkLimit
        self.openNodeLimit = openNodeLimit
    }

    /// The next thing to do. Asking again without supplying an awaited block gives `needBlock`.
    package mutating func next() throws(DAGReadError) -> Step {
        if let awaited { return .needBlock(awaited.link.cid) }
        while let cid = path.popFirst() {
            if cid.isIdentity { continue }
            if try record(cid, followsAll: false).isFirst {
                return .section(cid, mustSupply: false)
            }
        }
        while let link = try takeLink() {
            if let step = try visit(link) { return step }
        }
        return awaited.map { .needBlock($0.link.cid) } ?? .done
    }

    /// Takes the bytes of the block that `next` asked for.
    ///
    /// - Parameter block: Its bytes, already verified against `cid`; not kept.
    package mutating func supply(
        _ block: UnsafeRawBufferPointer, for cid: CID
    ) throws(DAGReadError) {
        guard let (link, isReturn) = awaited, link.cid == cid else {
            throw .unexpectedBlock(cid, awaited: awaited?.link.cid)
        }
        awaited = nil
        let links = try link.wantedLinks(in: block)
        if isReturn {
            try remember(links)
        } else {
            try push(links, of: link)
        }
    }

    /// CIDs that will probably be listed next, in that order, without the one awaited.
    ///
    /// Without duplicates, some may turn out to have been listed already.
    package func lookahead(_ count: Int) -> [CID] {
        var found: [CID] = []
        for frame in frames.reversed() where !frame.links.isEmpty {
            for link in frame.links[frame.next...] {
                if found.count >= count { return found }
                if !link.cid.isIdentity { found.append(link.cid) }
            }
        }
        return found
    }

    // MARK: Steps

    /// Lists a block or goes through it, as needed; `nil` when there is nothing for the caller.
    private mutating func visit(_ link: DAGWalkLink) throws(DAGReadError) -> Step? {
        if link.cid.isIdentity {
            guard link.mustRead else { return nil }
            try push(link.wantedLinksInIdentity(), of: link)
            return nil
        }
        let (isFirst, wasFollowed) = try record(link.cid, followsAll: link.followsAll)
        if wasFollowed { return nil }
        if link.mustRead { awaited = (link, isReturn: false) }
        if isFirst { return .section(link.cid, mustSupply: link.mustRead) }
        return link.mustRead ? .needBlock(link.cid) : nil
    }

    /// Notes that a block is listed now.
    private mutating func record(
        _ cid: CID, followsAll: Bool
    ) throws(DAGReadError) -> (isFirst: Bool, wasFollowed: Bool) {
        guard let listed else { return (true, false) }
        let key = SpillKey(keys.key(of: cid))
        do {
            let before = try listed.lookup(key)
            if before == nil || (before == 0 && followsAll) {
                try listed.insert(key, followsAll ? 1 : 0)
            }
            return (before == nil, before == 1)
        } catch {
            throw .scratch(error)
        }
    }

    // MARK: Open nodes

    /// The next link in depth-first order, `nil` at the end or when a forgotten node is awaited.
    private mutating func takeLink() throws(DAGReadError) -> DAGWalkLink? {
        if let link = start {
            start = nil
            return link
        }
        guard let frame = frames.last else { return nil }
        if frame.links.isEmpty {
            guard frame.node.cid.isIdentity else {
                awaited = (frame.node, isReturn: true)
                return nil
            }
            try remember(frame.node.wantedLinksInIdentity())
        }
        let index = frames.count - 1
        let link = frames[index].links[frame.next]
        frames[index].next += 1
        if frames[index].next == frame.linkCount {
            openLinkCount -= frame.linkCount
            frames.removeLast()
        }
        return link
    }

    private mutating func push(
        _ links: [DAGWalkLink], of node: DAGWalkLink
    ) throws(DAGReadError) {
        if links.isEmpty { return }
        guard frames.count < openNodeLimit else {
            throw .tooDeep(node.cid, limit: openNodeLimit)
        }
        openLinkCount += links.count
        while openLinkCount > openLinkLimit, rememberedFrom < frames.count {
            openLinkCount -= frames[rememberedFrom].links.count
            frames[rememberedFrom].links = []
            rememberedFrom += 1
        }
        frames.append(Frame(node: node, links: links, linkCount: links.count))
    }

    /// Puts the links of the last open node back, which had been forgotten and all before it too.
    private mutating func remember(_ links: [DAGWalkLink]) throws(DAGReadError) {
        let index = frames.count - 1
        guard links.count == frames[index].linkCount else {
            throw .malformedLinks(frames[index].node.cid, reason: "it changed while it was read")
        }
        frames[index].links = links
        rememberedFrom = index
        openLinkCount = links.count
    }
}

extension SpillKey {
    package init(_ key: Key32) { self.init(key.word0, key.word1, key.word2, key.word3) }
}
