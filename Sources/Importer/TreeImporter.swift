import Multiformats
import Spill

/// Receives output in the middle of a call, oldest first.
package typealias OutputSink = ([ImportOutput]) throws -> Void

/// Builds the UnixFS DAG of a tree whose entries arrive one after the other, in any order.
///
/// The caller chunks and hashes: it emits each leaf block, then hands its CID over with
/// `appendLeaf`. All other blocks come from here, in the order of Kubo's `add`: the inner nodes of
/// a file as they fill up, a directory as soon as an entry outside of it arrives. A later entry
/// opens the directory again; its new block then replaces the earlier one, which nothing refers to.
///
/// Memory does not grow with the number of files, the length of a file or the number of entries in
/// a directory, as long as the output is taken: `takeOutput` after each call, and a sink for what
/// one call on a huge directory produces.
///
/// It belongs to one thread at a time. After a method has thrown, only discard it.
package struct TreeImporter {
    package let options: ImportOptions
    private let leafEncoder: LeafEncoder
    private var emitter: BlockEmitter
    private var tree: DirectoryTree
    private var balanced: BalancedBuilder
    private var trickle: TrickleBuilder
    private var openFile: OpenFile?

    /// Longer than any file system allows.
    package static let maximumSymlinkTargetByteCount = 65_536

    private struct OpenFile {
        let path: ImportPath
        /// What its root is going to store.
        let metadata: EntryMetadata
        var leafCount = 0
    }

    /// - Parameters:
    ///   - scratch: Where directories go that are too large for memory, and closed ones.
    ///   - sink: Takes output in portions of about 1 MiB as soon as they are ready, in addition to
    ///     `takeOutput`; `nil` keeps all output until it is taken.
    /// - Throws: `hash` when the hash function cannot be computed here.
    package init(
        options: ImportOptions, scratch: any ScratchSpace,
        limits: DirectoryLimits = DirectoryLimits(), sink: OutputSink? = nil
    ) throws(ImportError) {
        self.options = options
        leafEncoder = LeafEncoder(options)
        emitter = try BlockEmitter(options, sink: sink)
        tree = DirectoryTree(options, scratch: scratch, limits: limits)
        balanced = BalancedBuilder(width: options.maxFileLinks)
        trickle = TrickleBuilder(width: options.maxFileLinks)
    }

    /// What was produced since the last call, in order.
    package mutating func takeOutput() -> [ImportOutput] { emitter.takeOutput() }

    // MARK: - Files

    /// Begins a file; its leaves and `endFile` must follow before anything else.
    package mutating func beginFile(
        _ path: ImportPath, _ metadata: EntryMetadata
    ) throws(ImportError) {
        precondition(openFile == nil, "the last file is not ended")
        try tree.makeRoom(for: path, kind: .file, emitter: &emitter)
        let stored = options.storedMetadata(of: .file, source: metadata)
        openFile = OpenFile(path: path, metadata: stored)
        emitter.owner = path.joined
        switch options.layout {
        case .balanced: balanced.begin(rootHasMetadata: !stored.isEmpty)
        case .trickle: trickle.begin()
        }
    }

    /// Adds the next leaf of the file, whose block was emitted just before.
    ///
    /// - Precondition: the file has more than one leaf if `options.storesMetadata`; a single one
    ///   is made by `endFile`.
    package mutating func appendLeaf(_ leaf: LeafReference) throws(ImportError) {
        precondition(openFile != nil, "a leaf belongs to a file")
        openFile?.leafCount += 1
        let subtree = Subtree(leaf)
        switch options.layout {
        case .balanced: try balanced.append(subtree, emitter: &emitter)
        case .trickle: try trickle.append(subtree, emitter: &emitter)
        }
    }

    /// What the caller knows of a file's leaves when it ends.
    package enum SoleLeaf {
        /// They were appended, or the file is empty.
        case none
        /// Its only chunk, whose leaf was not appended because `options.storesMetadata`: the leaf block is
        /// made and emitted here.
        case payload(UnsafeRawBufferPointer)
        /// What an earlier import, which this one repeats, made of such a chunk.
        case made(LeafReference)
    }

    /// Ends the file.
    ///
    /// - Returns: The leaf that was made of a payload.
    @discardableResult
    package mutating func endFile(_ soleLeaf: SoleLeaf = .none) throws(ImportError)
        -> LeafReference?
    {
        guard let file = openFile else { preconditionFailure("no file was begun") }
        openFile = nil
        var leaf: Subtree?
        switch soleLeaf {
        case .none: break
        case .payload(let bytes):
            precondition(file.leafCount == 0, "a sole leaf is the only one")
            leaf = try emitLeaf(bytes, metadata: leafMetadata(file))
        case .made(let reference):
            precondition(file.leafCount == 0, "a sole leaf is the only one")
            leaf = Subtree(reference)
        }
        let root =
            switch options.layout {
            case .balanced: try finishBalanced(file, leaf)
            case .trickle: try finishTrickle(file, leaf)
            }
        try tree.add(root, kind: .file, at: file.path, emitter: &emitter)
        return leaf.map(LeafReference.init)
    }

    /// A balanced file of one leaf is that leaf; a trickle file's root always has links.
    private func leafMetadata(_ file: OpenFile) -> EntryMetadata {
        options.layout == .balanced ? file.metadata : .none
    }

    private mutating func finishBalanced(
        _ file: OpenFile, _ soleLeaf: Subtree?
    ) throws(ImportError) -> Subtree {
        if let soleLeaf { return soleLeaf }
        guard file.leafCount == 0 else {
            let root = try balanced.finish(metadata: file.metadata, emitter: &emitter)
            guard let root else { preconditionFailure("leaves were lost") }
            return root
        }
        return try emitLeaf(.init(start: nil, count: 0), metadata: file.metadata)
    }

    private mutating func finishTrickle(
        _ file: OpenFile, _ soleLeaf: Subtree?
    ) throws(ImportError) -> Subtree {
        if let soleLeaf { try trickle.append(soleLeaf, emitter: &emitter) }
        return try trickle.finish(metadata: file.metadata, emitter: &emitter)
    }

    private mutating func emitLeaf(
        _ payload: UnsafeRawBufferPointer, metadata: EntryMetadata
    ) throws(ImportError) -> Subtree {
        let block = leafEncoder.block(payload: payload, metadata: metadata)
        guard block.count <= ImportError.maximumBlockByteCount else {
            throw .chunkTooLarge(path: emitter.owner, byteCount: payload.count)
        }
        let cid = try emitter.emit(block, codec: leafEncoder.codec, version: leafEncoder.version)
        return Subtree(
            cid: cid, cumulativeByteCount: UInt64(block.count),
            fileByteCount: UInt64(payload.count))
    }

    // MARK: - Symlinks and directories

    package mutating func addSymlink(
        _ path: ImportPath, target: [UInt8], _ metadata: EntryMetadata
    ) throws(ImportError) {
        guard target.count <= Self.maximumSymlinkTargetByteCount else {
            throw .symlinkTargetTooLong(path: path.joined, byteCount: target.count)
        }
        precondition(openFile == nil, "the last file is not ended")
        try tree.makeRoom(for: path, kind: .symlink, emitter: &emitter)
        emitter.owner = path.joined
        let message = UnixFSEncoding.symlinkMessage(
            target: target, metadata: options.storedMetadata(of: .symlink, source: metadata))
        let subtree = try emitter.emit(
            UnixFSEncoding.block(links: [], message: message), childrenByteCount: 0)
        try tree.add(subtree, kind: .symlink, at: path, emitter: &emitter)
    }

    /// Adds a directory or opens it again. Metadata given later replaces what was there.
    package mutating func addDirectory(
        _ path: ImportPath, _ metadata: EntryMetadata
    ) throws(ImportError) {
        precondition(openFile == nil, "the last file is not ended")
        try tree.openDirectory(path, metadata, emitter: &emitter)
    }

    /// Closes everything.
    ///
    /// - Returns: The root: the only entry at the top, or the directory that holds all of them.
    ///   It was also the last entry reported.
    package mutating func finish() throws(ImportError) -> ImportedEntry {
        precondition(openFile == nil, "the last file is not ended")
        return try tree.finish(emitter: &emitter)
    }
}

extension Subtree {
    fileprivate init(_ leaf: LeafReference) {
        self.init(
            cid: leaf.cid, cumulativeByteCount: UInt64(leaf.blockByteCount),
            fileByteCount: UInt64(leaf.fileByteCount))
    }
}

extension LeafReference {
    fileprivate init(_ leaf: Subtree) {
        self.init(
            cid: leaf.cid, blockByteCount: Int(leaf.cumulativeByteCount),
            fileByteCount: Int(leaf.fileByteCount))
    }
}
