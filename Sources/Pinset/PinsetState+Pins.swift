import Multiformats
import ShardPlanner

/// The pins that the visible roots amount to, as ipfs-cluster would list them.
extension PinsetState {
    /// Pins of the given types in order, at most `limit` of them.
    ///
    /// - Parameters:
    ///   - after: The last pin already seen; it need not exist any more.
    ///   - limit: At least 1.
    package func pins(
        of types: Set<PinType> = Set(PinType.allCases), after: PinCursor? = nil, limit: Int = .max
    ) -> PinPage {
        precondition(limit >= 1, "a page has room for a pin")
        var page = PinPage(pins: [], next: nil)
        let start = after.map { cursor in sortedRoots.partitionPoint { $0 < cursor.root } } ?? 0
        var last: PinCursor?
        for cid in sortedRoots[start...] {
            guard let root = roots[cid] else { continue }
            var position = after.map { $0.root == cid ? $0.position + 1 : 0 } ?? 0
            while position < root.shardCount + 2 {
                if !types.contains(.shard), position >= 2 { break }
                if types.contains(pinType(at: position)) {
                    guard page.pins.count < limit else {
                        page.next = last
                        return page
                    }
                    page.pins.append(pin(of: root, at: position))
                    last = PinCursor(root: cid, position: position)
                }
                position += 1
            }
        }
        return page
    }

    /// The pins of one CID: a root's meta pin, a cluster DAG's pins, or a shard's in each root
    /// that has it. A version 0 root is found by its version 1 CID too, and the other way round.
    package func pins(for cid: CID) -> [PinRecord] {
        var found: [PinRecord] = []
        if let root = root(cid) { found.append(pin(of: root, at: 0)) }
        for parent in rootsOfClusterDAG[cid] ?? [] {
            if let root = roots[parent] { found.append(pin(of: root, at: 1)) }
        }
        let uses = (shards[cid]?.uses ?? []).compactMap { use in
            rootOfUpload(use.upload).map { (root: $0, number: use.number) }
        }
        for use in uses.sorted(by: { ($0.root.root, $0.number) < ($1.root.root, $1.number) }) {
            found.append(pin(of: use.root, at: use.number + 2))
        }
        return found
    }

    /// The visible root with this CID, whichever version of it is asked for.
    package func root(_ cid: CID) -> RootRecord? {
        if let root = roots[cid] { return root }
        guard cid.codec == .dagPB, cid.hashFunction == .sha2_256, cid.digestByteCount == 32 else {
            return nil
        }
        let other = cid.withDigest {
            CID(
                version: cid.version == .v0 ? .v1 : .v0, codec: .dagPB, hashFunction: .sha2_256,
                digest: $0)
        }
        return roots[other]
    }

    private func pinType(at position: Int) -> PinType {
        position == 0 ? .meta : position == 1 ? .clusterDAG : .shard
    }

    private func pin(of root: RootRecord, at position: Int) -> PinRecord {
        var pin = PinRecord(
            cid: root.root, name: root.options.name, type: pinType(at: position), maxDepth: 0,
            allocations: [], replicationFactorMin: root.options.policy.replicationMin,
            replicationFactorMax: root.options.policy.replicationMax,
            userAllocations: root.options.policy.userAllocations, reference: nil,
            shardByteCount: 0, mode: root.options.mode, timestamp: root.pinnedAt,
            expireAt: root.options.expireAt, metadata: root.options.metadata,
            origins: root.options.origins, root: root.root)
        switch position {
        case 0:
            pin.reference = root.clusterDAG
        case 1:
            pin.cid = root.clusterDAG
            pin.name += "-clusterDAG"
            pin.reference = root.root
            pin.replicationFactorMin = AllocationPolicy.everywhere
            pin.replicationFactorMax = AllocationPolicy.everywhere
        default:
            let number = position - 2
            guard let shard = shardRecord(root.upload, number) else { break }
            pin.cid = shard.description.cid
            pin.name += "-shard-\(number)"
            pin.maxDepth = shard.description.depth
            pin.allocations = shard.copies.map(\.peer)
            pin.reference = shardRecord(root.upload, number - 1)?.description.cid
            pin.shardByteCount = shard.description.payloadByteCount
        }
        return pin
    }

    /// The root that an upload's shards belong to, if it committed and its root still has them.
    package func rootOfUpload(_ id: UploadID) -> RootRecord? {
        guard let cid = manifests[id]?.root, let root = roots[cid], root.upload == id else {
            return nil
        }
        return root
    }

    private func shardRecord(_ upload: UploadID, _ number: Int) -> ShardRecord? {
        guard let entries = manifests[upload]?.entries, entries.indices.contains(number),
            case .sealed(let cid) = entries[number]
        else { return nil }
        return shards[cid]
    }
}
