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
    private let limits: DirectoryLimits
    private let leafEncoder: LeafEncoder
    private var emitter: BlockEmitter
    private var store: DirectoryStore
    private var balanced: BalancedBuilder
    private var trickle: TrickleBuilder
    private var openFile: OpenFile?

    /// The top, then the open directories down to the one that took the last entry.
    private var directories: [OpenDirectory]
    private var openByteCount = 0
    private var nextIdentifier: UInt64 = 1
    /// Whether the top is a directory of its own: it wraps, or was sent without a name.
    private var topIsDirectory: Bool
    /// The last entry finished at the top, by name.
    private var topEntry: (name: [UInt8], entry: ImportedEntry)?

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
        self.limits = limits
        leafEncoder = LeafEncoder(options)
        emitter = try BlockEmitter(options, sink: sink)
        store = DirectoryStore(scratch: scratch, limits: limits)
        balanced = BalancedBuilder(width: options.maxFileLinks)
        trickle = TrickleBuilder(width: options.maxFileLinks)
        directories = [OpenDirectory(identifier: 0, name: [])]
        topIsDirectory = options.wrap
    }

    /// What was produced since the last call, in order.
    package mutating func takeOutput() -> [ImportOutput] { emitter.takeOutput() }

    // MARK: - Files

    /// Begins a file; its leaves and `endFile` must follow before anything else.
    package mutating func beginFile(
        _ path: ImportPath, _ metadata: EntryMetadata
    ) throws(ImportError) {
        try makeRoom(for: path, kind: .file)
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
        let subtree = Subtree(
            cid: leaf.cid, cumulativeByteCount: UInt64(leaf.blockByteCount),
            fileByteCount: UInt64(leaf.fileByteCount))
        switch options.layout {
        case .balanced: try balanced.append(subtree, emitter: &emitter)
        case .trickle: try trickle.append(subtree, emitter: &emitter)
        }
    }

    /// Ends the file.
    ///
    /// - Parameter soleLeafPayload: The file's only chunk, if its leaf was not appended because
    ///   `options.storesMetadata`; the leaf block is then made and emitted here.
    package mutating func endFile(
        soleLeafPayload: UnsafeRawBufferPointer? = nil
    ) throws(ImportError) {
        guard let file = openFile else { preconditionFailure("no file was begun") }
        precondition(soleLeafPayload == nil || file.leafCount == 0, "a sole leaf is the only one")
        openFile = nil
        let root =
            switch options.layout {
            case .balanced: try finishBalanced(file, soleLeafPayload)
            case .trickle: try finishTrickle(file, soleLeafPayload)
            }
        try finishEntry(root, kind: .file, path: file.path)
    }

    private mutating func finishBalanced(
        _ file: OpenFile, _ soleLeafPayload: UnsafeRawBufferPointer?
    ) throws(ImportError) -> Subtree {
        guard file.leafCount == 0 else {
            let root = try balanced.finish(metadata: file.metadata, emitter: &emitter)
            guard let root else { preconditionFailure("leaves were lost") }
            return root
        }
        let payload = soleLeafPayload ?? UnsafeRawBufferPointer(start: nil, count: 0)
        return try emitLeaf(payload, metadata: file.metadata)
    }

    private mutating func finishTrickle(
        _ file: OpenFile, _ soleLeafPayload: UnsafeRawBufferPointer?
    ) throws(ImportError) -> Subtree {
        if let soleLeafPayload, !soleLeafPayload.isEmpty {
            let leaf = try emitLeaf(soleLeafPayload, metadata: .none)
            try trickle.append(leaf, emitter: &emitter)
        }
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
        try makeRoom(for: path, kind: .symlink)
        emitter.owner = path.joined
        let message = UnixFSEncoding.symlinkMessage(
            target: target, metadata: options.storedMetadata(of: .symlink, source: metadata))
        let subtree = try emitter.emit(
            UnixFSEncoding.block(links: [], message: message), childrenByteCount: 0)
        try finishEntry(subtree, kind: .symlink, path: path)
    }

    /// Adds a directory or opens it again. Metadata given later replaces what was there.
    package mutating func addDirectory(
        _ path: ImportPath, _ metadata: EntryMetadata
    ) throws(ImportError) {
        precondition(openFile == nil, "the last file is not ended")
        if path.components.isEmpty {
            if let topEntry, topEntry.name.isEmpty {
                throw .pathConflict(path: [], existing: topEntry.entry.kind, added: .directory)
            }
            topIsDirectory = true
        }
        try moveTo(path.components[...])
        if !metadata.isEmpty { directories[directories.count - 1].metadata = metadata }
    }

    /// Closes everything.
    ///
    /// - Returns: The root: the only entry at the top, or the directory that holds all of them.
    ///   It was also the last entry reported.
    package mutating func finish() throws(ImportError) -> ImportedEntry {
        precondition(openFile == nil, "the last file is not ended")
        while directories.count > 1 { try closeLastDirectory() }
        if topIsDirectory {
            // A wrapping directory has no source that metadata could come from.
            let source = options.wrap ? EntryMetadata.none : directories[0].metadata
            let subtree = try build(directories[0], source: source, path: [])
            let entry = Self.entry(subtree, kind: .directory, path: [])
            try emitter.report(entry)
            return entry
        }
        guard let topEntry else { throw .nothingToImport }
        return topEntry.entry
    }

    // MARK: - Walking

    /// Goes to the directory a file or symlink belongs to, and makes sure that its name is free.
    private mutating func makeRoom(
        for path: ImportPath, kind: EntryKind
    ) throws(ImportError) {
        precondition(openFile == nil, "the last file is not ended")
        guard let name = path.components.last else {
            try makeRoomForNameless(kind)
            return
        }
        try moveTo(path.components.dropLast())
        try checkTop(name)
        if let existing = try find(name) {
            throw .pathConflict(path: path.joined, existing: existing.kind, added: kind)
        }
        let last = directories.count - 1
        directories[last].hasSeenEntries = true
    }

    /// Without a name an entry is the root; wrapped, its CID becomes its name, as in Kubo.
    private mutating func makeRoomForNameless(_ kind: EntryKind) throws(ImportError) {
        try moveTo([])
        if options.wrap { return }
        if topIsDirectory {
            throw .pathConflict(path: [], existing: .directory, added: kind)
        }
        guard let topEntry else { return }
        throw topEntry.name.isEmpty
            ? .pathConflict(path: [], existing: topEntry.entry.kind, added: kind)
            : .severalRoots(first: topEntry.name, second: [])
    }

    /// Makes the directory with these names the last one: closes those outside of its path, opens
    /// those on it.
    private mutating func moveTo(_ names: ArraySlice<[UInt8]>) throws(ImportError) {
        var shared = 0
        while shared < names.count, shared + 1 < directories.count,
            directories[shared + 1].name == names[names.startIndex + shared]
        {
            shared += 1
        }
        while directories.count - 1 > shared { try closeLastDirectory() }
        for name in names.dropFirst(shared) {
            try checkTop(name)
            try openDirectory(name)
        }
    }

    /// Refuses a second name at the top, unless the top is a directory of its own.
    private func checkTop(_ name: [UInt8]) throws(ImportError) {
        guard directories.count == 1, !topIsDirectory, let topEntry, topEntry.name != name else {
            return
        }
        throw .severalRoots(first: topEntry.name, second: name)
    }

    private mutating func openDirectory(_ name: [UInt8]) throws(ImportError) {
        let parent = directories.count - 1
        directories[parent].hasSeenEntries = true
        guard let existing = try find(name) else {
            directories.append(OpenDirectory(identifier: nextIdentifier, name: name))
            nextIdentifier += 1
            return
        }
        guard existing.kind == .directory else {
            throw .pathConflict(
                path: joinedPath(appending: name), existing: existing.kind, added: .directory)
        }
        let closed = try store.open(existing.handle)
        var directory = OpenDirectory(reopening: closed, name: name)
        if !closed.isSpilled, let segment = closed.lastSegment {
            directory.entries.load(try store.readSegment(at: segment).records)
        }
        directories.append(directory)
        openByteCount += directory.entries.byteCount
        try spillUntilWithinTotal()
    }

    /// The entry of the last directory with this name.
    private func find(
        _ name: [UInt8]
    ) throws(ImportError) -> (kind: EntryKind, handle: UInt64)? {
        let directory = directories[directories.count - 1]
        if directory.entries.isSpilled {
            return try name.withUnsafeBufferPointer { (bytes) throws(ImportError) in
                try store.find(UnsafeRawBufferPointer(bytes), in: directory.identifier)
            }
        }
        return directory.entries.find(name, hash: MurmurHash3.x64Hash64(name)).map {
            ($0.kind, $0.handle)
        }
    }

    private func joinedPath(appending name: [UInt8]? = nil) -> [UInt8] {
        let names = directories.dropFirst().map(\.name) + (name.map { [$0] } ?? [])
        return Array(names.joined(separator: [UInt8(ascii: "/")]))
    }

    // MARK: - Closing

    private mutating func closeLastDirectory() throws(ImportError) {
        let path = joinedPath()
        let last = directories.count - 1
        let isRoot = last == 1 && !topIsDirectory
        let isEmpty = directories[last].entries.totals.entryCount == 0
        if isEmpty, !directories[last].hasSeenEntries, !options.includeEmptyDirectories, !isRoot {
            directories.removeLast()
            return
        }
        if directories[last].entries.isSpilled, !directories[last].entries.records.isEmpty {
            try spill(last)
        }
        let subtree = try build(directories[last], source: directories[last].metadata, path: path)
        let directory = directories.removeLast()
        openByteCount -= directory.entries.byteCount
        var segment = directory.entries.lastSegment
        if !directory.entries.isSpilled, !isEmpty {
            segment = try store.writeSegment(directory.entries.records, previous: nil)
        }
        let handle = try store.close(directory.closed(as: subtree, lastSegment: segment))
        let entry = NewEntry(
            kind: .directory, name: directory.name,
            hash: MurmurHash3.x64Hash64(directory.name), cid: subtree.cid,
            tsize: subtree.cumulativeByteCount, handle: handle)
        try record(entry, replacing: directory.noted)
        try report(Self.entry(subtree, kind: .directory, path: path), name: directory.name)
    }

    private mutating func build(
        _ directory: OpenDirectory, source: EntryMetadata, path: [UInt8]
    ) throws(ImportError) -> Subtree {
        emitter.owner = path
        return try DirectoryBuilder(options: options, store: store).build(
            directory.entries,
            metadata: options.storedMetadata(of: .directory, source: source),
            emitter: &emitter)
    }

    private mutating func finishEntry(
        _ subtree: Subtree, kind: EntryKind, path: ImportPath
    ) throws(ImportError) {
        var path = path
        if path.components.isEmpty, options.wrap {
            path = try ImportPath(components: [Array("\(subtree.cid)".utf8)])
            try makeRoom(for: path, kind: kind)
        }
        let name = path.components.last ?? []
        if !name.isEmpty {
            let entry = NewEntry(
                kind: kind, name: name, hash: MurmurHash3.x64Hash64(name), cid: subtree.cid,
                tsize: subtree.cumulativeByteCount)
            try record(entry, replacing: nil)
        }
        try report(Self.entry(subtree, kind: kind, path: path.joined), name: name)
    }

    private mutating func report(
        _ entry: ImportedEntry, name: [UInt8]
    ) throws(ImportError) {
        if directories.count == 1 { topEntry = (name, entry) }
        try emitter.report(entry)
    }

    private static func entry(
        _ subtree: Subtree, kind: EntryKind, path: [UInt8]
    ) -> ImportedEntry {
        ImportedEntry(
            path: path, cid: subtree.cid, cumulativeByteCount: subtree.cumulativeByteCount,
            fileByteCount: subtree.fileByteCount, kind: kind)
    }

    // MARK: - Memory

    /// Adds an entry to the last directory, or replaces one that has added `noted`.
    private mutating func record(
        _ entry: NewEntry, replacing noted: LinkMeasure?
    ) throws(ImportError) {
        let last = directories.count - 1
        let before = directories[last].entries.byteCount
        if let noted {
            directories[last].entries.replace(entry, old: noted)
        } else {
            directories[last].entries.append(entry)
        }
        openByteCount += directories[last].entries.byteCount - before
        let isSpilled = directories[last].entries.isSpilled
        if isSpilled {
            let directory = directories[last].identifier
            try entry.name.withUnsafeBufferPointer { (name) throws(ImportError) in
                try store.remember(
                    UnsafeRawBufferPointer(name), in: directory, kind: entry.kind,
                    handle: entry.handle)
            }
        }
        let byteLimit = isSpilled ? limits.spilledPortionByteCount : limits.byteCount
        let entries = directories[last].entries
        if entries.byteCount > byteLimit || !isSpilled && entries.recordCount > limits.entryCount {
            try spill(last)
        }
        try spillUntilWithinTotal()
    }

    private mutating func spillUntilWithinTotal() throws(ImportError) {
        while openByteCount > limits.totalByteCount {
            var largest = 0
            for index in directories.indices
            where directories[index].entries.byteCount > directories[largest].entries.byteCount {
                largest = index
            }
            if directories[largest].entries.byteCount == 0 { return }
            try spill(largest)
        }
    }

    /// Moves a directory's records from memory to scratch space.
    private mutating func spill(_ index: Int) throws(ImportError) {
        let entries = directories[index].entries
        if !entries.isSpilled { try rememberNames(of: directories[index]) }
        let segment = try store.writeSegment(entries.records, previous: entries.lastSegment)
        openByteCount -= entries.byteCount
        directories[index].entries.didSpill(to: segment)
    }

    private mutating func rememberNames(of directory: OpenDirectory) throws(ImportError) {
        try directory.entries.records.withUnsafeBufferPointer { (buffer) throws(ImportError) in
            let bytes = UnsafeRawBufferPointer(buffer)
            var offset = 0
            while offset < bytes.count {
                let record = EntryRecord(in: bytes, at: offset)
                if record.isLive {
                    try store.remember(
                        record.name, in: directory.identifier, kind: record.kind,
                        handle: record.handle)
                }
                offset += record.bytes.count
            }
        }
    }
}
