import Multiformats
import VectorInputs

@testable import Importer

/// Blocks by CID, and the order they were added in. Nodes are encoded here by hand, so that the
/// readers are not tested against the project's own writer.
struct TestBlocks {
    private(set) var order: [CID] = []
    private(set) var roots: [CID] = []
    private var blocks: [CID: [UInt8]] = [:]

    init() {}

    /// Reads a CAR file of the published fixtures and checks its hashes.
    init(fixture: String) throws {
        var reader = CARReader()
        let verifier = BlockVerifier()
        for event in try VectorFiles.fixture(fixture).withUnsafeBytes({ try reader.feed($0) }) {
            switch event {
            case .header(let header): roots = header.roots
            case .section(let section):
                guard try section.block.withUnsafeBytes({ try verifier.verify(section.cid, $0) })
                else { preconditionFailure("\(section.cid) in \(fixture) has the wrong hash") }
                put(section.cid, section.block)
            }
        }
        try reader.finish()
    }

    subscript(cid: CID) -> [UInt8]? { blocks[cid] }

    /// Stores any bytes under any CID, right or wrong.
    mutating func put(_ cid: CID, _ block: [UInt8]) {
        if blocks.updateValue(block, forKey: cid) == nil { order.append(cid) }
    }

    mutating func remove(_ cid: CID) {
        blocks[cid] = nil
        order.removeAll { $0 == cid }
    }

    @discardableResult
    mutating func add(_ codec: Codec, _ block: [UInt8], version: CID.Version = .v1) -> CID {
        do {
            let cid = try BlockHasher(.sha2_256).cid(version: version, codec: codec, block)
            put(cid, block)
            return cid
        } catch {
            preconditionFailure("\(error)")
        }
    }

    mutating func add(_ node: TestNode, version: CID.Version = .v1) -> CID {
        add(.dagPB, node.encoded, version: version)
    }
}

/// A dag-pb node with a UnixFS message, any field of which may be wrong.
struct TestNode {
    var type: UInt64?
    var data: [UInt8]?
    var fileSize: UInt64?
    var blockSizes: [UInt64] = []
    var hashType: UInt64?
    var fanout: UInt64?
    var links: [DagPBLink] = []

    var message: [UInt8] {
        var bytes: [UInt8] = []
        func field(_ number: UInt8, _ value: UInt64?) {
            guard let value else { return }
            bytes.append(number << 3)
            Varint.append(value, to: &bytes)
        }
        field(1, type)
        if let data {
            bytes.append(0x12)
            Varint.append(UInt64(data.count), to: &bytes)
            bytes += data
        }
        field(3, fileSize)
        for size in blockSizes { field(4, size) }
        field(5, hashType)
        field(6, fanout)
        return bytes
    }

    /// Links keep their order, also where a writer would sort them.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for link in links {
            DagPB.appendLink(link.cid, name: link.name, tsize: link.tsize, to: &bytes)
        }
        DagPB.appendData(message, to: &bytes)
        return bytes
    }

    static func leaf(_ payload: [UInt8], type: UInt64 = 2) -> TestNode {
        TestNode(
            type: type, data: payload.isEmpty ? nil : payload, fileSize: UInt64(payload.count))
    }

    static func file(_ children: [(cid: CID, size: Int)], data: [UInt8]? = nil) -> TestNode {
        TestNode(
            type: 2, data: data,
            fileSize: UInt64(children.reduce(data?.count ?? 0) { $0 + $1.size }),
            blockSizes: children.map { UInt64($0.size) },
            links: children.map { DagPBLink(cid: $0.cid, name: [], tsize: UInt64($0.size)) })
    }

    static func directory(_ entries: [(name: String, cid: CID)]) -> TestNode {
        TestNode(
            type: 1,
            links: entries.map { DagPBLink(cid: $0.cid, name: Array($0.name.utf8), tsize: 1) })
    }

    static func symlink(_ target: String) -> TestNode {
        TestNode(type: 4, data: Array(target.utf8))
    }

    static func hamt(fanout: Int, _ slots: [(index: Int, name: [UInt8], cid: CID)]) -> TestNode {
        var bits = [UInt8](repeating: 0, count: fanout / 8)
        for slot in slots { bits[fanout / 8 - 1 - slot.index / 8] |= 1 << (slot.index % 8) }
        let digits = String(fanout - 1, radix: 16).count
        return TestNode(
            type: 5, data: Array(bits.drop { $0 == 0 }), hashType: 0x22, fanout: UInt64(fanout),
            links: slots.map { slot in
                let hex = String(slot.index, radix: 16, uppercase: true)
                let prefix = String(repeating: "0", count: digits - hex.count) + hex
                return DagPBLink(cid: slot.cid, name: Array(prefix.utf8) + slot.name, tsize: 1)
            })
    }
}

/// How a test file is cut and linked.
struct TestFileShape: CustomStringConvertible {
    enum Leaf: CaseIterable { case raw, dagPBFile, dagPBRaw, identity }
    enum Layout: CaseIterable { case balanced, trickle, uneven }

    var leaf: Leaf
    var layout: Layout
    var chunkByteCount: Int
    var width: Int

    var description: String { "\(leaf) \(layout) chunks of \(chunkByteCount), width \(width)" }
}

extension TestBlocks {
    mutating func addFile(_ bytes: [UInt8], _ shape: TestFileShape) -> CID {
        let leaves = stride(from: 0, to: bytes.count, by: shape.chunkByteCount).map { start in
            let chunk = Array(bytes[start..<min(start + shape.chunkByteCount, bytes.count)])
            return (cid: addLeaf(chunk, shape.leaf), size: chunk.count)
        }
        if leaves.isEmpty { return addLeaf([], shape.leaf) }
        switch shape.layout {
        case .balanced: return addBalanced(leaves, width: shape.width)
        case .trickle:
            var rest = leaves[...]
            return addTrickle(&rest, width: shape.width, maximumDepth: .max).cid
        case .uneven: return addUneven(leaves[...]).cid
        }
    }

    private mutating func addLeaf(_ chunk: [UInt8], _ kind: TestFileShape.Leaf) -> CID {
        switch kind {
        case .raw: add(.raw, chunk)
        case .dagPBFile: add(.leaf(chunk), version: .v0)
        case .dagPBRaw: add(.leaf(chunk, type: 0))
        case .identity:
            chunk.count.isMultiple(of: 2)
                ? chunk.withUnsafeBytes { CID.identity(codec: .raw, data: $0) }
                : TestNode.leaf(chunk).encoded.withUnsafeBytes {
                    CID.identity(codec: .dagPB, data: $0)
                }
        }
    }

    private mutating func addInner(
        _ children: [(cid: CID, size: Int)], data: [UInt8]? = nil
    ) -> (cid: CID, size: Int) {
        let node = TestNode.file(children, data: data)
        return (add(node), Int(node.fileSize!))
    }

    private mutating func addBalanced(_ leaves: [(cid: CID, size: Int)], width: Int) -> CID {
        var level = leaves
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: width).map { start in
                addInner(Array(level[start..<min(start + width, level.count)]))
            }
        }
        return level[0].cid
    }

    private mutating func addTrickle(
        _ leaves: inout ArraySlice<(cid: CID, size: Int)>, width: Int, maximumDepth: Int
    ) -> (cid: CID, size: Int) {
        var children = Array(leaves.prefix(width))
        leaves = leaves.dropFirst(width)
        var depth = 1
        while depth < maximumDepth, !leaves.isEmpty {
            for _ in 0..<4 where !leaves.isEmpty {
                children.append(addTrickle(&leaves, width: width, maximumDepth: depth))
            }
            depth += 1
        }
        return addInner(children)
    }

    /// A shape no writer makes: halves, with links to nothing between them.
    private mutating func addUneven(
        _ leaves: ArraySlice<(cid: CID, size: Int)>
    ) -> (cid: CID, size: Int) {
        if leaves.count == 1 { return leaves.first! }
        let cut = leaves.startIndex + max(1, leaves.count / 3)
        let empty = (cid: add(TestNode.leaf([])), size: 0)
        let left = addUneven(leaves[..<cut])
        let right = addUneven(leaves[cut...])
        return addInner([empty, left, empty, right])
    }

    /// A sharded directory as boxo builds it, from names to what they name.
    mutating func addHAMT(_ entries: [(name: [UInt8], cid: CID)], fanout: Int) -> CID {
        addHAMT(entries, fanout: fanout, level: 0)
    }

    private mutating func addHAMT(
        _ entries: [(name: [UInt8], cid: CID)], fanout: Int, level: Int
    ) -> CID {
        let bits = fanout.trailingZeroBitCount
        var bySlot: [Int: [(name: [UInt8], cid: CID)]] = [:]
        for entry in entries {
            let slot = HAMTNode.hash(entry.name) >> (64 - (level + 1) * bits) & UInt64(fanout - 1)
            bySlot[Int(slot), default: []].append(entry)
        }
        var slots: [(index: Int, name: [UInt8], cid: CID)] = []
        for (index, members) in bySlot.sorted(by: { $0.key < $1.key }) {
            slots.append(
                members.count == 1
                    ? (index, members[0].name, members[0].cid)
                    : (index, [], addHAMT(members, fanout: fanout, level: level + 1)))
        }
        return add(.hamt(fanout: fanout, slots))
    }
}
