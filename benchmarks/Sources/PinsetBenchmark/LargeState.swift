import Pinset

/// The rows of a state too large to be made command by command: a decision takes as long as there
/// are peers. So each three peers are a cluster of their own with one root, and the rows of all of
/// them are a sound state.
struct LargeState: Sequence, IteratorProtocol {
    private let peerCount: Int
    private let shardCount: Int
    private var nextPeer = 0
    private var lastIndex = LogIndex.beforeFirst
    private var rows: ArraySlice<StateRow> = []

    init(peerCount: Int, shardCount: Int) {
        precondition(peerCount >= 3, "two copies need two peers, and the last group has up to five")
        self.peerCount = peerCount
        self.shardCount = shardCount
    }

    mutating func next() -> StateRow? {
        if rows.isEmpty, nextPeer < peerCount { makeGroup() }
        return rows.popFirst()
    }

    private mutating func makeGroup() {
        let end = peerCount - nextPeer < 6 ? peerCount : nextPeer + 3
        var group = Cluster(peers: nextPeer..<end, number: nextPeer + 1, after: lastIndex)
        let upload = group.openUpload()
        // What is left over by the division goes to the last groups.
        let count = shardCount * end / peerCount - shardCount * nextPeer / peerCount
        var ignored = (filling: Cluster.Filling(), commit: Samples())
        let shards = group.fill(
            upload, shardCount: count, isSaved: false, &ignored.filling)
        do {
            _ = try group.commit(upload, shards, &ignored.commit)
        } catch {
            fatalError("\(error)")
        }
        var made: [StateRow] = []
        group.state.forEachRow { row in
            // One header, that of the last group; requests are of the groups' own logs.
            guard row.table != .request, row.table != .header || end == peerCount else { return }
            made.append(row)
        }
        rows = made[...]
        lastIndex = group.state.appliedIndex
        nextPeer = end
    }
}
