import Glibc
import Importer
import Multiformats
import PosixIO

/// Where blocks come from, verified, for whoever asks depth first.
protocol BlockSupply {
    func block(_ cid: CID) async throws -> [UInt8]
}

/// Writes UnixFS content to disk while its blocks arrive.
///
/// Nothing leaves the directory it is given: names are single components, everything is reached
/// from open directories, and symlinks are made but never followed.
final class TreeRestorer {
    private struct Frame {
        let cid: CID
        let directory: Directory
        var walk: DirectoryWalk
        let mode: UInt32?
        let mtime: UnixFSTime?
        /// Entries may be there already, so each is made under another name first.
        let isShared: Bool
        /// Its name in a directory that is shared, once it is complete.
        var place: (directory: Directory, temporary: [UInt8], name: [UInt8])?
    }

    private let source: any BlockSupply
    /// The unfinished thing in a shared directory, to be removed on failure.
    private var unfinished: (directory: Directory, name: [UInt8])?
    private(set) var fileCount = 0
    private(set) var byteCount = 0

    init(_ source: any BlockSupply) { self.source = source }

    /// Writes what `cid` names into `parent` under `name`.
    ///
    /// - Parameters:
    ///   - block: The first block, where the caller has it.
    ///   - isShared: Others may look at `parent` meanwhile: what is not complete has another name
    ///     there, and is removed on failure.
    func restore(
        _ cid: CID, _ block: [UInt8], as name: [UInt8], in parent: Directory, isShared: Bool
    ) async throws {
        do {
            var frames: [Frame] = []
            guard isShared else {
                try await make(cid, block, name, in: parent, isShared: false, &frames)
                return try await fill(&frames)
            }
            let temporary = Self.temporaryName()
            unfinished = (parent, temporary)
            try await make(cid, block, temporary, in: parent, isShared: false, &frames)
            try await fill(&frames)
            try parent.rename(temporary, to: name)
            unfinished = nil
        } catch {
            try removeUnfinished(after: error)
            throw error
        }
    }

    /// Writes the entries of a directory into one that exists.
    func restoreEntries(_ cid: CID, _ block: [UInt8], into directory: Directory) async throws {
        do {
            var frames = [
                Frame(
                    cid: cid, directory: directory, walk: try Self.walk(cid, block), mode: nil,
                    mtime: nil,
                    isShared: true)
            ]
            try await fill(&frames)
        } catch {
            try removeUnfinished(after: error)
            throw error
        }
    }

    /// Writes the bytes of a file as they come.
    func stream(
        _ cid: CID, _ block: [UInt8], _ write: (UnsafeRawBufferPointer) throws -> Void
    ) async throws {
        var walk = try FileWalk(root: cid)
        // A dag-pb leaf is asked for before it is announced, so its block is here already.
        var held = (cid: cid, block: block)
        while true {
            switch try walk.next() {
            case .needBlock(let wanted):
                if wanted != held.cid { held = (wanted, try await source.block(wanted)) }
                try held.block.withUnsafeBytes { try walk.supply($0, for: wanted) }
            case .leaf(let leaf):
                if leaf.cid != held.cid { held = (leaf.cid, try await source.block(leaf.cid)) }
                try held.block.withUnsafeBytes { bytes in
                    let wanted = try leaf.wantedRange(in: bytes)
                    byteCount += wanted.count
                    try write(UnsafeRawBufferPointer(rebasing: bytes[wanted]))
                }
            case .inlineData(let bytes):
                byteCount += bytes.count
                try bytes.withUnsafeBytes { try write($0) }
            case .done:
                fileCount += 1
                return
            }
        }
    }

    // MARK: Entries

    private func fill(_ frames: inout [Frame]) async throws {
        while let last = frames.indices.last {
            switch try frames[last].walk.next() {
            case .needBlock(let cid):
                let block = try await source.block(cid)
                try block.withUnsafeBytes { try frames[last].walk.supply($0, for: cid) }
            case .entry(let entry):
                guard PathSafety.isComponent(entry.name) else {
                    throw VerificationError.badEntryName(
                        directory: frames[last].cid, name: entry.name)
                }
                try await add(entry, &frames)
            case .done:
                let frame = frames.removeLast()
                try frame.directory.file.apply(mode: frame.mode, mtime: frame.mtime)
                if let place = frame.place {
                    try place.directory.rename(place.temporary, to: place.name)
                    unfinished = nil
                }
            }
        }
    }

    private func add(_ entry: DirectoryEntry, _ frames: inout [Frame]) async throws {
        let frame = frames[frames.count - 1]
        let block = try await source.block(entry.cid)
        guard frame.isShared else {
            return try await make(
                entry.cid, block, entry.name, in: frame.directory, isShared: false, &frames)
        }
        let isDirectory = try Self.node(entry.cid, block).isDirectory
        if isDirectory, try frame.directory.loadStatus(entry.name) != nil {
            return try await make(
                entry.cid, block, entry.name, in: frame.directory, isShared: true, &frames)
        }
        let temporary = Self.temporaryName()
        unfinished = (frame.directory, temporary)
        try await make(entry.cid, block, temporary, in: frame.directory, isShared: false, &frames)
        if isDirectory {
            frames[frames.count - 1].place = (frame.directory, temporary, entry.name)
        } else {
            try frame.directory.rename(temporary, to: entry.name)
            unfinished = nil
        }
    }

    /// Makes a file or symlink, or a directory whose entries are still to come.
    ///
    /// - Parameter isShared: It is a directory that exists, and is added to.
    private func make(
        _ cid: CID, _ block: [UInt8], _ name: [UInt8], in parent: Directory, isShared: Bool,
        _ frames: inout [Frame]
    ) async throws {
        let node = try Self.node(cid, block)
        switch node.type {
        case .file, .raw:
            let file = try parent.createFile(name)
            var offset = 0
            try await stream(cid, block) { bytes in
                try file.writeAll(bytes, at: offset)
                offset += bytes.count
            }
            try file.apply(mode: node.mode, mtime: node.mtime)
        case .symlink:
            try parent.createSymlink(name, target: Array(block[node.payload]))
            if let mtime = node.mtime { try parent.setModified(mtime, of: name) }
            fileCount += 1
        case .directory, .hamtShard:
            if !isShared { try parent.createDirectory(name) }
            frames.append(
                Frame(
                    cid: cid, directory: try parent.openDirectory(name),
                    walk: try Self.walk(cid, block),
                    mode: isShared ? nil : node.mode, mtime: node.mtime, isShared: isShared))
        case .metadata:
            throw CommandOutcome(.local, "\(cid) is UnixFS metadata, which is nothing to write")
        }
    }

    private static func node(_ cid: CID, _ block: [UInt8]) throws -> UnixFSNode {
        do {
            return try block.withUnsafeBytes { try UnixFSNode(cid: cid, block: $0) }
        } catch {
            throw CommandOutcome(
                .local, "\(cid) is not a file or directory: \(error); fetch its blocks instead")
        }
    }

    private static func walk(_ cid: CID, _ block: [UInt8]) throws -> DirectoryWalk {
        var walk = DirectoryWalk(root: cid)
        // A CID that holds its block asks for none: the first step is the first entry already.
        if cid.identityData == nil, case .needBlock = try walk.next() {
            try block.withUnsafeBytes { try walk.supply($0, for: cid) }
        }
        return walk
    }

    // MARK: What is not complete

    static func temporaryName() -> [UInt8] {
        Array(".ingest-\(String(UInt64.random(in: 0...UInt64.max), radix: 16)).partial".utf8)
    }

    private func removeUnfinished(after error: any Error) throws {
        guard let (directory, name) = unfinished else { return }
        unfinished = nil
        do {
            try directory.removeTree(name)
        } catch let removal {
            throw CommandOutcome(
                CommandOutcome(error).code,
                "\(CommandOutcome(error).message ?? "interrupted"); what is incomplete could not be "
                    + "removed (\(removal)): remove \(directory.file.path)/"
                    + String(decoding: name, as: UTF8.self))
        }
    }
}
