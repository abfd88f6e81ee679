import Importer
import Multiformats
import Spill

/// Blocks that link to each other as the input says: chance alone finds no hashes.
///
/// The input is a run of nodes: a byte for the kind, one for the number of links, for each of them how far
/// back its block is, its name and its size, then what the node holds itself.
struct FuzzedDAG {
    private(set) var order: [CID] = []
    private var blocks: [CID: [UInt8]] = [:]
    /// What a link would truly say.
    private var byteCounts: [CID: UInt64] = [:]
    private(set) var names: [[UInt8]] = []

    /// Ends long walks: a short DAG may have any number of paths.
    private static let stepLimit = 2000

    init(_ input: [UInt8]) throws {
        let hasher = try BlockHasher(.sha2_256)
        var rest = input[...]
        while let kind = rest.popFirst() {
            let links = takeLinks(&rest)
            let (codec, block, byteCount) = makeBlock(kind, links, &rest)
            let version: CID.Version = codec == .dagPB && kind & 0x80 != 0 ? .v0 : .v1
            let cid = try hasher.cid(version: version, codec: codec, block)
            if blocks.updateValue(block, forKey: cid) == nil { order.append(cid) }
            byteCounts[cid] = byteCount
        }
    }

    private mutating func takeLinks(_ rest: inout ArraySlice<UInt8>) -> [(DagPBLink, UInt64)] {
        var links: [(DagPBLink, UInt64)] = []
        for _ in 0..<(rest.popFirst() ?? 0) % 8 where !order.isEmpty {
            let back = Int(rest.popFirst() ?? 0) % order.count
            let name = take(Int(rest.popFirst() ?? 0) % 5, &rest)
            names.append(name)
            let cid = order[order.count - 1 - back]
            let lie = rest.popFirst() ?? 0
            let byteCount = lie < 200 ? byteCounts[cid] ?? 0 : UInt64(lie) << UInt64(lie % 64)
            links.append((DagPBLink(cid: cid, name: name, tsize: byteCount), byteCount))
        }
        return links
    }

    private func makeBlock(
        _ kind: UInt8, _ links: [(DagPBLink, UInt64)], _ rest: inout ArraySlice<UInt8>
    ) -> (Codec, [UInt8], UInt64) {
        let held = take(Int(rest.popFirst() ?? 0) % 64, &rest)
        let sum = links.reduce(UInt64(held.count)) { $0 &+ $1.1 }
        var block: [UInt8] = []
        switch kind & 7 {
        case 0: return (.raw, held, UInt64(held.count))
        case 1: return (.dagCBOR, cbor(links, held), 0)
        case 2:
            // Any message.
            for (link, _) in links {
                DagPB.appendLink(link.cid, name: link.name, tsize: link.tsize, to: &block)
            }
            DagPB.appendData(held, to: &block)
        default:
            for (link, _) in links {
                DagPB.appendLink(link.cid, name: link.name, tsize: link.tsize, to: &block)
            }
            DagPB.appendData(message(kind, links, held, sum), to: &block)
        }
        return (.dagPB, block, sum)
    }

    /// One that is right but for what the kind says: a file, a directory, a part of a directory.
    private func message(
        _ kind: UInt8, _ links: [(DagPBLink, UInt64)], _ held: [UInt8], _ sum: UInt64
    ) -> [UInt8] {
        let type: UInt8 = kind & 7 == 3 ? 1 : kind & 7 == 4 ? 5 : 2
        var bytes: [UInt8] = [8, type]
        func field(_ number: UInt8, _ value: UInt64) {
            bytes.append(number << 3)
            Varint.append(value, to: &bytes)
        }
        if !held.isEmpty {
            bytes.append(0x12)
            Varint.append(UInt64(held.count), to: &bytes)
            bytes += held
        }
        if type == 2 {
            field(3, sum)
            for (_, byteCount) in links { field(4, byteCount) }
        } else if type == 5 {
            field(5, 0x22)
            field(6, 8 << UInt64(kind >> 3 & 7))
        }
        return bytes
    }

    private func cbor(_ links: [(DagPBLink, UInt64)], _ held: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        CBOR.array(links.map { .cid($0.0.cid) } + [.bytes(held)]).append(to: &bytes)
        return bytes
    }

    private func take(_ count: Int, _ rest: inout ArraySlice<UInt8>) -> [UInt8] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    // MARK: - What must hold

    /// Traps when something does not.
    func check() {
        guard let root = order.last else { return }
        let imported = try? imported(order, [root])
        let reversed = try? self.imported(order.reversed(), [root])
        precondition(imported?.roots == reversed?.roots, "the order of blocks makes another import")
        if let imported {
            var again = try! CARImport(roots: [root], scratch: MemoryScratch(), seed: 2)
            for (cid, facts) in imported.facts { try! again.addAgain(cid, facts) }
            precondition(try! again.finish() == imported.roots, "facts make another import")
        }
        let sections = walked(root)
        precondition(sections.map { Set($0).count == $0.count } ?? true, "a block is listed twice")
        list(root)
        read(root)
        resolve(root)
    }

    private func imported(
        _ order: [CID], _ roots: [CID]
    ) throws -> (roots: [CARImport.Root], facts: [(CID, CARImport.Facts)]) {
        var archive = try CARImport(roots: roots, scratch: MemoryScratch(), seed: 1)
        var facts: [(CID, CARImport.Facts)] = []
        for cid in order {
            guard
                case .new(let new) = try blocks[cid]!.withUnsafeBytes({ try archive.add(cid, $0) })
            else { continue }
            facts.append((cid, new))
        }
        return (try archive.finish(), facts)
    }

    /// - Returns: `nil` when the walk ends with an error or is long.
    private func walked(_ root: CID) -> [CID]? {
        var walk = DAGWalk(
            terminal: root, scope: .all, listsDuplicates: false, scratch: MemoryScratch(), seed: 3,
            openLinkLimit: 8)
        var found: [CID] = []
        for _ in 0..<Self.stepLimit {
            switch try? walk.next() {
            case .section(let cid, let mustSupply):
                found.append(cid)
                guard let block = blocks[cid] else {
                    preconditionFailure("\(cid) was never linked to")
                }
                if mustSupply, !supplied({ try walk.supply($0, for: cid) }, block) { return nil }
            case .needBlock(let cid):
                guard supplied({ try walk.supply($0, for: cid) }, blocks[cid]!) else { return nil }
            case .done: return found
            case nil: return nil
            }
        }
        return nil
    }

    private func list(_ root: CID) {
        var walk = DirectoryWalk(root: root)
        for _ in 0..<Self.stepLimit {
            _ = walk.lookahead(3)
            switch try? walk.next() {
            case .needBlock(let cid):
                guard supplied({ try walk.supply($0, for: cid) }, blocks[cid]!) else { return }
            case .entry: break
            case .done, nil: return
            }
        }
    }

    /// A file read in two parts is what it is in one.
    private func read(_ root: CID) {
        guard let whole = bytes(root, nil) else { return }
        let middle = whole.count / 3
        for range in [0..<middle, middle..<whole.count, 0..<Int.max] {
            guard let part = bytes(root, range) else {
                preconditionFailure("bytes \(range) of a file cannot be read")
            }
            precondition(part == Array(whole[range.clamped(to: 0..<whole.count)]))
        }
    }

    private func bytes(_ root: CID, _ range: Range<Int>?) -> [UInt8]? {
        guard var walk = try? FileWalk(root: root, range: range) else { return nil }
        var bytes: [UInt8] = []
        for _ in 0..<Self.stepLimit {
            _ = walk.lookahead(3)
            switch try? walk.next() {
            case .needBlock(let cid):
                guard supplied({ try walk.supply($0, for: cid) }, blocks[cid]!) else { return nil }
            case .leaf(let leaf):
                let block = blocks[leaf.cid]!
                guard let wanted = try? block.withUnsafeBytes({ try leaf.wantedRange(in: $0) })
                else {
                    return nil
                }
                bytes += block[wanted]
            case .inlineData(let data): bytes += data
            case .done: return bytes
            case nil: return nil
            }
        }
        return nil
    }

    private func resolve(_ root: CID) {
        var resolver = PathResolver(root: root, path: Array(names.suffix(3)))
        for _ in 0..<Self.stepLimit {
            guard case .needBlock(let cid) = try? resolver.next() else { return }
            guard supplied({ try resolver.supply($0, for: cid) }, blocks[cid]!) else { return }
        }
        preconditionFailure("a path of three names takes \(Self.stepLimit) blocks")
    }

    private func supplied(
        _ supply: (UnsafeRawBufferPointer) throws -> Void, _ block: [UInt8]
    ) -> Bool {
        (try? block.withUnsafeBytes(supply)) != nil
    }
}
