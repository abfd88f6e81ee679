import Multiformats
import ShardPlanner

/// The state's laws, recomputed from scratch.
extension PinsetState {
    /// A sentence for every law that does not hold; empty for a sound state.
    ///
    /// It looks at everything: for tests and for verifying a snapshot, not for every command. That
    /// no command raises used and reserved bytes above a capacity cannot be seen from one state,
    /// because a capacity may shrink; tests compare states before and after a command.
    package func checkInvariants() -> [String] {
        memberFindings() + shardFindings() + uploadFindings() + rootFindings() + dropFindings()
    }

    private func memberFindings() -> [String] {
        var findings: [String] = []
        var reserved: [PeerID: Int] = [:]
        for manifest in manifests.values {
            for case .reserved(let reservation) in manifest.entries {
                for peer in reservation.peers {
                    reserved[peer, default: 0].addClamping(reservation.byteCount)
                }
            }
        }
        var copies: [PeerID: (count: Int, byteCount: Int)] = [:]
        for (_, shard) in shards {
            for copy in shard.copies {
                copies[copy.peer, default: (0, 0)].count += 1
                copies[copy.peer, default: (0, 0)].byteCount.addClamping(copy.fileByteCount)
            }
        }
        if peers.keys.sorted() != sortedPeers { findings.append("sorted peers differ from peers") }
        for peer in Set(reserved.keys).union(copies.keys).sorted() where peers[peer] == nil {
            findings.append("peer \(peer) has shards or reservations but is no member")
        }
        for record in members {
            let held = copies[record.peer] ?? (0, 0)
            let pending = (drops[record.peer] ?? [:]).values.flatMap(\.pending)
            let counted = (
                held.count, held.byteCount, reserved[record.peer] ?? 0,
                pending.reduce(into: 0) { $0.addClamping($1.fileByteCount) }
            )
            let recorded = (
                record.copyCount, record.copiesByteCount, record.reservedByteCount,
                record.droppingByteCount
            )
            if counted != recorded {
                findings.append("peer \(record.peer) is recorded as \(recorded), has \(counted)")
            }
        }
        return findings
    }

    private func shardFindings() -> [String] {
        var findings: [String] = []
        var uses: [CID: Set<ShardUse>] = [:]
        for (id, manifest) in manifests {
            for (number, entry) in manifest.entries.enumerated() {
                guard case .sealed(let cid) = entry else { continue }
                uses[cid, default: []].insert(ShardUse(upload: id, number: number))
            }
        }
        for cid in Set(uses.keys).subtracting(shards.keys).sorted() {
            findings.append("shard \(cid) is used but not there")
        }
        for (cid, shard) in shards {
            let expected = uses[cid] ?? []
            if expected.isEmpty { findings.append("shard \(cid) is used by nobody") }
            if Set(shard.uses) != expected || shard.uses.count != expected.count {
                findings.append("shard \(cid) has the wrong list of uses")
            }
            if Replication(shard) != strictestReplication(of: Array(expected)) {
                findings.append("shard \(cid) does not have its strictest policy")
            }
            let holders = shard.copies.map(\.peer)
            if holders != Set(holders).sorted() {
                findings.append("shard \(cid) has copies out of order or twice on a peer")
            }
            for holder in holders where shardsOnPeer[holder]?.contains(cid) != true {
                findings.append("shard \(cid) is not among those of its peer \(holder)")
            }
        }
        let listed = shardsOnPeer.values.reduce(0) { $0 + $1.count }
        if listed != shards.reduce(0, { $0 + $1.value.copies.count }) {
            findings.append("a peer lists a shard that has no copy on it")
        }
        return findings.sorted()
    }

    private func uploadFindings() -> [String] {
        var findings: [String] = []
        for upload in uploads.values {
            let manifest = manifests[upload.id]
            if upload.isOpen != openUploads.contains(upload.id) {
                findings.append("upload \(upload.id) is not listed by its phase")
            }
            if upload.isOpen, manifest == nil || manifest?.root != nil {
                findings.append("open upload \(upload.id) has no manifest of its own")
            }
        }
        let ended = uploads.values.filter { !$0.isOpen }
        if Set(endedUploads) != Set(ended.map(\.id)) || endedUploads.count != ended.count {
            findings.append("the list of ended uploads differs from the uploads")
        }
        for (id, manifest) in manifests where uploads[id]?.isOpen != true {
            guard let root = manifest.root, roots[root]?.upload == id else {
                findings.append("ended upload \(id) still has shards")
                continue
            }
            let isSealed = manifest.entries.allSatisfy {
                if case .sealed = $0 { true } else { false }
            }
            if !isSealed { findings.append("root \(root) has a shard that is not sealed") }
        }
        return findings.sorted()
    }

    private func rootFindings() -> [String] {
        var findings: [String] = []
        if roots.keys.sorted() != sortedRoots { findings.append("sorted roots differ from roots") }
        for root in roots.values {
            guard let manifest = manifests[root.upload], manifest.root == root.root else {
                findings.append("root \(root.root) has no shards")
                continue
            }
            let cids = manifest.entries.compactMap { entry -> CID? in
                if case .sealed(let cid) = entry { cid } else { nil }
            }
            if cids.count != root.shardCount {
                findings.append("root \(root.root) has \(cids.count) of \(root.shardCount) shards")
            }
            if (try? ListNode.root(of: cids)) != root.clusterDAG {  // too many links: not equal
                findings.append("root \(root.root) has another cluster DAG than its shards")
            }
            if rootsOfClusterDAG[root.clusterDAG]?.contains(root.root) != true {
                findings.append("root \(root.root) is not found by its cluster DAG")
            }
        }
        return findings.sorted()
    }

    private func dropFindings() -> [String] {
        var findings: [String] = []
        for (peer, records) in drops {
            for (cid, record) in records {
                let generations = record.pending.map(\.generation)
                if generations != Set(generations).sorted()
                    || generations.contains(where: { $0 > record.generation })
                    || record.generation > lastGeneration
                {
                    findings.append("drops of shard \(cid) on \(peer) are out of order")
                }
                let copy = shards[cid]?.copy(on: peer)
                if let copy, copy.generation < record.generation {
                    findings.append("the copy of \(cid) on \(peer) is older than its drop")
                }
            }
        }
        return findings.sorted()
    }
}
