import Multiformats
import Spill

/// Checks that an uploaded CAR holds everything below its roots, whatever the order of its blocks.
///
/// Each block is added once it was verified against its CID; `finish` then says whether every root
/// and everything that can be reached from one by links was added. Completeness is all that is
/// asked: blocks that no root reaches are kept, as Kubo keeps them, and may even have links to
/// nowhere (the directories on a path, in a CAR from a gateway). CIDv0 and CIDv1 dag-pb of one
/// multihash are the same block. A root or link that is an identity CID needs no block, and what
/// its bytes link to is checked.
///
/// dag-pb and dag-cbor blocks must decode. Codecs whose links are unknown here are refused.
///
/// Memory is flat: the tables spill to scratch space, with 32 bytes of key a block or link and the
/// links of all blocks, which are read again only if something is missing. Copies share both: use
/// one.
package struct CARImport {
    /// What a root turned out to be.
    package struct Root: Equatable, Sendable {
        package let cid: CID
        /// `nil` when it is not UnixFS: dag-cbor, or dag-pb with other contents.
        package let kind: EntryKind?

        /// Length of the root's block plus the Tsizes of its links, as `ipfs add` prints it. For
        /// codecs without Tsizes it is the length of the block alone.
        package let cumulativeByteCount: UInt64

        /// Length of the file below, `nil` when the root is none.
        package let fileByteCount: Int?

        package init(
            cid: CID, kind: EntryKind?, cumulativeByteCount: UInt64, fileByteCount: Int?
        ) {
            self.cid = cid
            self.kind = kind
            self.cumulativeByteCount = cumulativeByteCount
            self.fileByteCount = fileByteCount
        }
    }

    /// What is taken from a block: with it, the block can be added again without its bytes.
    package struct Facts: Equatable, Sendable {
        package let links: [CID]
        /// What the block says of those roots that it is.
        package let roots: [Root]

        package init(links: [CID], roots: [Root]) {
            self.links = links
            self.roots = roots
        }
    }

    /// What `add` did with a block.
    package enum Addition: Equatable, Sendable {
        /// To be stored.
        case new(Facts)
        /// Added before, under this CID or the other CID version.
        case duplicate
        /// An identity CID: there is nothing to store.
        case identity
    }

    let roots: [CID]
    private var described: [Root?]
    private var rootIndices: [Key32: [Int]] = [:]

    let keys: CIDKeys
    private let blocks: SpillTable
    let linkLists: LinkListFile
    let scratch: any ScratchSpace

    /// Linked or named as a root, but not added so far.
    private var awaitedCount = 0

    /// Blocks added so far, without duplicates and identity CIDs.
    package private(set) var blockCount = 0

    /// - Parameters:
    ///   - roots: As the CAR header names them.
    ///   - seed: A random number: the uploader must not foresee how the table is laid out.
    /// - Throws: `noRoots` when there are none.
    package init(
        roots: [CID], scratch: any ScratchSpace, seed: UInt64
    ) throws(CARImportError) {
        guard !roots.isEmpty else { throw .noRoots }
        self.roots = roots
        self.scratch = scratch
        described = Array(repeating: nil, count: roots.count)
        keys = CIDKeys(seed: seed)
        blocks = SpillTable(scratch: scratch, seed: seed)
        do {
            linkLists = LinkListFile(try scratch.makeFile())
        } catch {
            throw .scratch(error)
        }
        for (index, root) in roots.enumerated() {
            if root.isIdentity {
                try root.withIdentityBlock { (block) throws(CARImportError) in
                    described[index] = try Self.describe(root, block)
                }
            } else {
                rootIndices[keys.key(of: root.asV1), default: []].append(index)
            }
            try expect([root])
        }
    }

    /// Takes a block that was verified against its CID.
    ///
    /// - Parameter block: The bytes; not kept.
    /// - Throws: `malformedBlock`, `codecWithUnknownLinks` or `identityMismatch`. The import is over
    ///   then.
    package mutating func add(
        _ cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(CARImportError) -> Addition {
        if cid.isIdentity {
            guard cid.withDigest({ $0.elementsEqual(block) }) else { throw .identityMismatch(cid) }
            return .identity
        }
        let key = keys.key(of: cid.asV1)
        let state = try lookup(key)
        if state?.isPresent == true { return .duplicate }

        let facts = Facts(
            links: try Self.links(of: cid, block),
            roots: try (rootIndices[key] ?? []).map { (index) throws(CARImportError) in
                try Self.describe(roots[index], block)
            })
        try note(cid, key, facts, isAwaited: state != nil)
        return .new(facts)
    }

    /// Takes a block that was new to another import of the same roots, in the same order.
    package mutating func addAgain(_ cid: CID, _ facts: Facts) throws(CARImportError) {
        let key = keys.key(of: cid.asV1)
        try note(cid, key, facts, isAwaited: try lookup(key) != nil)
    }

    private mutating func note(
        _ cid: CID, _ key: Key32, _ facts: Facts, isAwaited: Bool
    ) throws(CARImportError) {
        let list = facts.links.isEmpty ? nil : try append(facts.links, of: cid)
        try store(key, .present(list: list))
        if isAwaited { awaitedCount -= 1 }
        blockCount += 1
        for (index, root) in zip(rootIndices[key] ?? [], facts.roots) { described[index] = root }
        try expect(facts.links)
    }

    /// Says what the roots are, once all blocks were added.
    ///
    /// - Throws: `missingRoot` or `missingBlock` when something below a root was not added.
    package mutating func finish() throws(CARImportError) -> [Root] {
        if awaitedCount > 0 { try checkReachable() }
        return described.map { root in
            guard let root else { preconditionFailure("a root that is present was described") }
            return root
        }
    }

    // MARK: Tables

    /// Notes that these blocks are wanted.
    private mutating func expect(_ links: [CID]) throws(CARImportError) {
        for cid in try Self.resolvingIdentities(links) {
            let key = keys.key(of: cid.asV1)
            if try lookup(key) == nil {
                try store(key, .awaited)
                awaitedCount += 1
            }
        }
    }

    func lookup(_ key: Key32) throws(CARImportError) -> BlockState? {
        do {
            return try blocks.lookup(SpillKey(key)).map(BlockState.init(bits:))
        } catch {
            throw .scratch(error)
        }
    }

    mutating func store(_ key: Key32, _ state: BlockState) throws(CARImportError) {
        do {
            try blocks.insert(SpillKey(key), state.bits)
        } catch {
            throw .scratch(error)
        }
    }

    private func append(_ links: [CID], of cid: CID) throws(CARImportError) -> UInt64 {
        do {
            return try linkLists.append(links, of: cid)
        } catch {
            throw .scratch(error)
        }
    }
}
