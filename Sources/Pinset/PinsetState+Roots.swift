import Multiformats
import ShardPlanner

/// Visible roots and their ends.
extension PinsetState {
    mutating func unpin(_ root: CID) throws(Refusal) -> Outcome {
        guard roots[root] != nil else { throw .notPinned(root) }
        return .unpinned(remove([root]))
    }

    mutating func expirePins(at time: LogTime) -> Outcome {
        let expired = sortedRoots.filter { root in
            (roots[root]?.options.expireAt).map { $0 <= time } ?? false
        }
        return .unpinned(remove(expired))
    }

    private mutating func remove(_ ended: [CID]) -> UnpinnedRoots {
        var removed = UnpinnedRoots(rootCount: 0, droppedShardCount: 0, droppedByteCount: 0)
        for cid in ended {
            guard let root = roots.removeValue(forKey: cid) else { continue }
            dirty.roots.append(cid)
            sortedRoots.remove(at: sortedRoots.partitionPoint { $0 < cid })
            removeClusterDAG(root)
            let dropped = releaseManifest(root.upload)
            removed.rootCount += 1
            removed.droppedShardCount += dropped.shardCount
            removed.droppedByteCount += dropped.byteCount
        }
        return removed
    }

    mutating func addRoot(_ root: CID, clusterDAG: CID) {
        let index = sortedRoots.partitionPoint { $0 < root }
        if index == sortedRoots.count || sortedRoots[index] != root {
            sortedRoots.insert(root, at: index)
        }
        let others = rootsOfClusterDAG[clusterDAG] ?? []
        rootsOfClusterDAG[clusterDAG] = (others + [root]).sorted()
    }

    mutating func removeClusterDAG(_ root: RootRecord) {
        let others = (rootsOfClusterDAG[root.clusterDAG] ?? []).filter { $0 != root.root }
        rootsOfClusterDAG[root.clusterDAG] = others.isEmpty ? nil : others
    }
}
