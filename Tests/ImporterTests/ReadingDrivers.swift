import Multiformats
import Spill

@testable import Importer

/// What a driver throws when a walk asks for a block that is not there.
struct TestBlockMissing: Error, Equatable {
    let cid: CID
}

/// What a driver throws when a walk does not come to an end.
struct TestWalkEndless: Error {}

extension TestBlocks {
    func load(_ cid: CID) throws -> [UInt8] {
        guard let block = self[cid] else { throw TestBlockMissing(cid: cid) }
        return block
    }

    /// Drives a file walk and puts the bytes together, as a shell would.
    func read(
        _ walk: inout FileWalk, stepLimit: Int = .max, visit: (CID) -> Void = { _ in }
    ) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<stepLimit {
            switch try walk.next() {
            case .needBlock(let cid):
                visit(cid)
                try load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
            case .leaf(let leaf):
                visit(leaf.cid)
                let block = try load(leaf.cid)
                bytes += block[try block.withUnsafeBytes { try leaf.wantedRange(in: $0) }]
            case .inlineData(let data): bytes += data
            case .done: return bytes
            }
        }
        throw TestWalkEndless()
    }

    func readFile(_ root: CID, range: Range<Int>? = nil, stepLimit: Int = .max) throws -> [UInt8] {
        var walk = try FileWalk(root: root, range: range)
        return try read(&walk, stepLimit: stepLimit)
    }

    func list(_ root: CID, stepLimit: Int = .max) throws -> [DirectoryEntry] {
        var walk = DirectoryWalk(root: root)
        var entries: [DirectoryEntry] = []
        for _ in 0..<stepLimit {
            switch try walk.next() {
            case .needBlock(let cid):
                try load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
            case .entry(let entry): entries.append(entry)
            case .done: return entries
            }
        }
        throw TestWalkEndless()
    }

    func resolve(
        _ root: CID, _ path: [[UInt8]], stepLimit: Int = .max
    ) throws -> PathResolver.Resolution {
        var resolver = PathResolver(root: root, path: path)
        for _ in 0..<stepLimit {
            switch try resolver.next() {
            case .needBlock(let cid):
                try load(cid).withUnsafeBytes { try resolver.supply($0, for: cid) }
            case .resolved(let resolution): return resolution
            }
        }
        throw TestWalkEndless()
    }

    func resolve(_ root: CID, _ path: String) throws -> PathResolver.Resolution {
        try resolve(root, path.split(separator: "/").map { Array($0.utf8) })
    }

    /// The sections a DAG walk lists.
    func sections(_ walk: inout DAGWalk, stepLimit: Int = .max) throws -> [CID] {
        var found: [CID] = []
        for _ in 0..<stepLimit {
            switch try walk.next() {
            case .section(let cid, let mustSupply):
                let block = try load(cid)
                found.append(cid)
                if mustSupply { try block.withUnsafeBytes { try walk.supply($0, for: cid) } }
            case .needBlock(let cid):
                try load(cid).withUnsafeBytes { try walk.supply($0, for: cid) }
            case .done: return found
            }
        }
        throw TestWalkEndless()
    }

    func sections(
        _ root: CID, _ scope: DAGWalk.Scope = .all, duplicates: Bool = false,
        openLinkLimit: Int = 65_536, stepLimit: Int = .max
    ) throws -> [CID] {
        var walk = DAGWalk(
            terminal: root, scope: scope, listsDuplicates: duplicates, scratch: MemoryScratch(),
            seed: 1, openLinkLimit: openLinkLimit)
        return try sections(&walk, stepLimit: stepLimit)
    }
}
