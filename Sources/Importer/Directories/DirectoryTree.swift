import Multiformats
import Spill

/// The directories of an import from the first entry to the root.
///
/// Only the way to the last entry is open. A directory is closed, and its block emitted, as soon as
/// an entry outside of it arrives; its entries go to scratch space, so that a later entry can open
/// it again. Whoever opens a directory again does not send depth first, so from then on it is
/// parked instead of closed, until memory is short or the import ends: otherwise every visit would
/// read all its entries and leave one more superseded block.
struct DirectoryTree {
    private let options: ImportOptions
    private let limits: DirectoryLimits
    private var store: DirectoryStore
    /// The top, then the directories on the way to the last entry.
    private var path: [OpenDirectory]
    /// Directories left after they were opened again. Their parents are in `path` or parked too.
    private var parked: [Place: OpenDirectory] = [:]
    /// Entries of all directories in memory.
    private var openByteCount = 0
    private var nextIdentifier: UInt64 = 1
    /// Whether the top is a directory of its own: it wraps, or was sent without a name.
    private var topIsDirectory: Bool
    /// The last entry finished at the top, and its name.
    private var topEntry: (name: [UInt8], entry: ImportedEntry)?

    private struct Place: Hashable {
        let parent: UInt64
        let name: [UInt8]
    }

    /// What a parked directory takes besides its entries, roughly.
    private static func parkedByteCount(_ name: [UInt8]) -> Int { 512 + name.count }

    init(_ options: ImportOptions, scratch: any ScratchSpace, limits: DirectoryLimits) {
        self.options = options
        self.limits = limits
        store = DirectoryStore(scratch: scratch, limits: limits)
        path = [OpenDirectory(identifier: Self.topIdentifier, name: [])]
        topIsDirectory = options.wrap
    }

    private static let topIdentifier: UInt64 = 0

    // MARK: - Entries

    /// Goes to the directory a file or symlink belongs to, and makes sure that its name is free.
    mutating func makeRoom(
        for place: ImportPath, kind: EntryKind, emitter: inout BlockEmitter
    ) throws(ImportError) {
        guard let name = place.components.last else {
            try makeRoomForNameless(kind, emitter: &emitter)
            return
        }
        try move(to: place.components.dropLast(), emitter: &emitter)
        try checkTop(name)
        if let existing = try find(name) {
            throw .pathConflict(path: place.joined, existing: existing.kind, added: kind)
        }
        path[path.count - 1].hasSeenEntries = true
    }

    /// Without a name an entry is the root; wrapped, it gets a name later.
    private mutating func makeRoomForNameless(
        _ kind: EntryKind, emitter: inout BlockEmitter
    ) throws(ImportError) {
        try move(to: [], emitter: &emitter)
        if options.wrap { return }
        if topIsDirectory { throw .pathConflict(path: [], existing: .directory, added: kind) }
        guard let topEntry else { return }
        throw topEntry.name.isEmpty
            ? .pathConflict(path: [], existing: topEntry.entry.kind, added: kind)
            : .severalRoots(first: topEntry.name, second: [])
    }

    /// Adds a finished file or symlink for which room was made, and reports it.
    mutating func add(
        _ subtree: Subtree, kind: EntryKind, at place: ImportPath, emitter: inout BlockEmitter
    ) throws(ImportError) {
        var place = place
        if place.components.isEmpty, options.wrap {
            // As in Kubo, an entry without a name is wrapped under its CID.
            place = try ImportPath(components: [Array("\(subtree.cid)".utf8)])
            try makeRoom(for: place, kind: kind, emitter: &emitter)
        }
        let name = place.components.last ?? []
        var directory = path.removeLast()
        if !name.isEmpty {
            let entry = NewEntry(
                kind: kind, name: name, hash: MurmurHash3.x64Hash64(name), cid: subtree.cid,
                tsize: subtree.cumulativeByteCount)
            try record(entry, replacing: nil, in: &directory)
        }
        try report(
            subtree, kind: kind, path: place.joined, name: name, parent: directory.identifier,
            emitter: &emitter)
        path.append(directory)
        try reduceMemory(emitter: &emitter)
    }

    /// Opens a directory, made if it is new. Metadata given later replaces what was there.
    mutating func openDirectory(
        _ place: ImportPath, _ metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) {
        if place.components.isEmpty {
            if let topEntry, topEntry.name.isEmpty {
                throw .pathConflict(path: [], existing: topEntry.entry.kind, added: .directory)
            }
            topIsDirectory = true
        }
        try move(to: place.components[...], emitter: &emitter)
        if !metadata.isEmpty { path[path.count - 1].metadata = metadata }
    }

    /// Closes everything; the root is the last entry reported.
    mutating func finish(emitter: inout BlockEmitter) throws(ImportError) -> ImportedEntry {
        while path.count > 1 { try closeLast(emitter: &emitter) }
        var top = path.removeLast()
        try closeParked(below: &top, path: [], emitter: &emitter)
        if topIsDirectory {
            // A wrapping directory has no source that metadata could come from.
            if options.wrap { top.metadata = .none }
            let subtree = try build(top, path: [], emitter: &emitter)
            try report(
                subtree, kind: .directory, path: [], name: [], parent: Self.topIdentifier,
                emitter: &emitter)
        }
        guard let topEntry else { throw .nothingToImport }
        return topEntry.entry
    }

    private mutating func report(
        _ subtree: Subtree, kind: EntryKind, path: [UInt8], name: [UInt8], parent: UInt64,
        emitter: inout BlockEmitter
    ) throws(ImportError) {
        let entry = ImportedEntry(
            path: path, cid: subtree.cid, cumulativeByteCount: subtree.cumulativeByteCount,
            fileByteCount: subtree.fileByteCount, kind: kind)
        if parent == Self.topIdentifier { topEntry = (name, entry) }
        try emitter.report(entry)
    }

    // MARK: - Walking

    /// Makes the directory with these names the last one: leaves those outside of its path, opens
    /// those on it.
    private mutating func move(
        to names: ArraySlice<[UInt8]>, emitter: inout BlockEmitter
    ) throws(ImportError) {
        var shared = 0
        while shared < names.count, shared + 1 < path.count,
            path[shared + 1].name == names[names.startIndex + shared]
        {
            shared += 1
        }
        while path.count - 1 > shared { try leaveLast(emitter: &emitter) }
        for name in names.dropFirst(shared) {
            try checkTop(name)
            try enter(name)
            try reduceMemory(emitter: &emitter)
        }
    }

    /// Refuses a second name at the top, unless the top is a directory of its own.
    private func checkTop(_ name: [UInt8]) throws(ImportError) {
        guard path.count == 1, !topIsDirectory, let topEntry, topEntry.name != name else { return }
        throw .severalRoots(first: topEntry.name, second: name)
    }

    private mutating func enter(_ name: [UInt8]) throws(ImportError) {
        let parent = path.count - 1
        path[parent].hasSeenEntries = true
        let place = Place(parent: path[parent].identifier, name: name)
        if path[parent].parkedChildren.remove(name) != nil {
            guard let directory = parked.removeValue(forKey: place) else {
                preconditionFailure("a parked directory was lost")
            }
            openByteCount -= Self.parkedByteCount(name)
            path.append(directory)
            return
        }
        guard let existing = try find(name) else {
            path.append(OpenDirectory(identifier: nextIdentifier, name: name))
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
        openByteCount += directory.entries.byteCount
        path.append(directory)
    }

    /// The entry of the last directory with this name.
    private func find(
        _ name: [UInt8]
    ) throws(ImportError) -> (kind: EntryKind, handle: UInt64)? {
        let directory = path[path.count - 1]
        guard directory.entries.isSpilled else {
            return directory.entries.find(name, hash: MurmurHash3.x64Hash64(name)).map {
                ($0.kind, $0.handle)
            }
        }
        return try name.withUnsafeBufferPointer { (bytes) throws(ImportError) in
            try store.find(UnsafeRawBufferPointer(bytes), in: directory.identifier)
        }
    }

    private func joinedPath(appending name: [UInt8]? = nil) -> [UInt8] {
        let names = path.dropFirst().map(\.name) + (name.map { [$0] } ?? [])
        return Array(names.joined(separator: [UInt8(ascii: "/")]))
    }

    // MARK: - Closing

    private mutating func leaveLast(emitter: inout BlockEmitter) throws(ImportError) {
        guard path[path.count - 1].noted != nil else {
            try closeLast(emitter: &emitter)
            return
        }
        let directory = path.removeLast()
        let parent = path.count - 1
        path[parent].parkedChildren.insert(directory.name)
        parked[Place(parent: path[parent].identifier, name: directory.name)] = directory
        openByteCount += Self.parkedByteCount(directory.name)
        try reduceMemory(emitter: &emitter)
    }

    private mutating func closeLast(emitter: inout BlockEmitter) throws(ImportError) {
        let joined = joinedPath()
        var directory = path.removeLast()
        var parent = path.removeLast()
        try closeParked(below: &directory, path: joined, emitter: &emitter)
        try close(&directory, path: joined, parent: &parent, emitter: &emitter)
        path.append(parent)
    }

    /// Closes the parked directories below one, the deepest first.
    private mutating func closeParked(
        below directory: inout OpenDirectory, path: [UInt8], emitter: inout BlockEmitter
    ) throws(ImportError) {
        // In an order of their own: that of a set differs from process to process.
        let names = directory.parkedChildren.sorted { $0.lexicographicallyPrecedes($1) }
        directory.parkedChildren = []
        for name in names {
            let place = Place(parent: directory.identifier, name: name)
            guard var child = parked.removeValue(forKey: place) else {
                preconditionFailure("a parked directory was lost")
            }
            openByteCount -= Self.parkedByteCount(name)
            let childPath = path.isEmpty ? name : path + [UInt8(ascii: "/")] + name
            try closeParked(below: &child, path: childPath, emitter: &emitter)
            try close(&child, path: childPath, parent: &directory, emitter: &emitter)
        }
    }

    private mutating func close(
        _ directory: inout OpenDirectory, path: [UInt8], parent: inout OpenDirectory,
        emitter: inout BlockEmitter
    ) throws(ImportError) {
        let isRoot = parent.identifier == Self.topIdentifier && !topIsDirectory
        let isEmpty = directory.entries.totals.entryCount == 0
        if isEmpty, !directory.hasSeenEntries, !options.includeEmptyDirectories, !isRoot { return }
        if directory.entries.isSpilled, !directory.entries.records.isEmpty {
            try spill(&directory)
        }
        let subtree = try build(directory, path: path, emitter: &emitter)
        openByteCount -= directory.entries.byteCount
        var segment = directory.entries.lastSegment
        if !directory.entries.isSpilled, !isEmpty {
            segment = try store.writeSegment(directory.entries.records, previous: nil)
        }
        let entry = NewEntry(
            kind: .directory, name: directory.name,
            hash: MurmurHash3.x64Hash64(directory.name), cid: subtree.cid,
            tsize: subtree.cumulativeByteCount,
            handle: try store.close(directory.closed(as: subtree, lastSegment: segment)))
        try record(entry, replacing: directory.noted, in: &parent)
        try report(
            subtree, kind: .directory, path: path, name: directory.name,
            parent: parent.identifier, emitter: &emitter)
    }

    private mutating func build(
        _ directory: OpenDirectory, path: [UInt8], emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        emitter.owner = path
        return try DirectoryBuilder(options: options, store: store).build(
            directory.entries,
            metadata: options.storedMetadata(of: .directory, source: directory.metadata),
            emitter: &emitter)
    }

    // MARK: - Memory

    /// Adds an entry to a directory, or replaces one that has added `noted`.
    private mutating func record(
        _ entry: NewEntry, replacing noted: LinkMeasure?, in directory: inout OpenDirectory
    ) throws(ImportError) {
        let before = directory.entries.byteCount
        if let noted {
            directory.entries.replace(entry, old: noted)
        } else {
            directory.entries.append(entry)
        }
        openByteCount += directory.entries.byteCount - before
        if directory.entries.isSpilled {
            let identifier = directory.identifier
            try entry.name.withUnsafeBufferPointer { (name) throws(ImportError) in
                try store.remember(
                    UnsafeRawBufferPointer(name), in: identifier, kind: entry.kind,
                    handle: entry.handle)
            }
            if directory.entries.byteCount > limits.spilledPortionByteCount {
                try spill(&directory)
            }
        } else if directory.entries.byteCount > limits.byteCount
            || directory.entries.recordCount > limits.entryCount || directory.entries.isCrowded
        {
            try spill(&directory)
        }
    }

    /// Moves a directory's records from memory to scratch space.
    private mutating func spill(_ directory: inout OpenDirectory) throws(ImportError) {
        if !directory.entries.isSpilled { try rememberNames(of: directory) }
        let segment = try store.writeSegment(
            directory.entries.records, previous: directory.entries.lastSegment)
        openByteCount -= directory.entries.byteCount
        directory.entries.didSpill(to: segment)
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

    /// Brings the memory of all directories under its limit: spills the large parked ones, closes
    /// the parked ones, then spills the largest of the rest.
    private mutating func reduceMemory(emitter: inout BlockEmitter) throws(ImportError) {
        guard openByteCount > limits.totalByteCount else { return }
        try spillLargeParked()
        if openByteCount > limits.totalByteCount / 2, !parked.isEmpty {
            try closeAllParked(emitter: &emitter)
        }
        while openByteCount > limits.totalByteCount {
            var largest = 0
            for index in path.indices
            where path[index].entries.byteCount > path[largest].entries.byteCount {
                largest = index
            }
            if path[largest].entries.byteCount == 0 { return }
            var directory = path[largest]
            path[largest] = OpenDirectory(identifier: directory.identifier, name: [])
            try spill(&directory)
            path[largest] = directory
        }
    }

    /// To close a large directory costs much more than to spill it, which leaves no block behind.
    private mutating func spillLargeParked() throws(ImportError) {
        let large = parked.filter { $0.value.entries.byteCount > limits.byteCount / 64 }
        for place in large.keys.sorted(by: { $0.parent < $1.parent }) {
            guard var directory = parked.removeValue(forKey: place) else { continue }
            try spill(&directory)
            parked[place] = directory
        }
    }

    private mutating func closeAllParked(emitter: inout BlockEmitter) throws(ImportError) {
        var joined: [UInt8] = []
        for index in path.indices {
            var directory = path[index]
            path[index] = OpenDirectory(identifier: directory.identifier, name: [])
            if index > 1 { joined.append(UInt8(ascii: "/")) }
            joined += directory.name
            try closeParked(below: &directory, path: joined, emitter: &emitter)
            path[index] = directory
        }
    }
}
