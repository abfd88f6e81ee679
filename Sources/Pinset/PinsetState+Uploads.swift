import Multiformats
import ShardPlanner

/// Uploads from open to commit.
extension PinsetState {
    /// The most ended uploads one housekeeping command forgets.
    package static let forgetLimit = 10_000

    mutating func openUpload(_ id: UploadID, _ options: UploadOptions) throws(Refusal) -> Outcome {
        guard uploads[id] == nil, manifests[id] == nil else { throw .uploadExists(id) }
        try checkMember(options.coordinator)
        for peer in options.policy.userAllocations { try checkMember(peer) }
        if let limit = options.shardLimitByteCount, limit < 1 {
            throw .badArgument("a shard limit of \(limit) bytes makes no sense")
        }
        if let expected = options.expectedByteCount, expected >= 1 {
            try checkRoomForUpload(expected, options.policy)
        }
        uploads[id] = UploadRecord(
            id: id, options: options, openedAt: logTime, openedIndex: appliedIndex)
        manifests[id] = Manifest(policy: options.policy)
        openUploads.insert(id)
        dirty.uploads.append(id)
        return .done
    }

    mutating func commitUpload(_ id: UploadID, _ commit: UploadCommit) throws(Refusal) -> Outcome {
        let upload = try openRecord(id)
        guard commit.shardCount >= 0, commit.contentByteCount >= 0 else {
            throw .badArgument("the counts of a commit are not negative")
        }
        // Without a shard there is no block: only a root that carries its content can do without.
        guard commit.shardCount >= 1 || commit.root.isIdentity else {
            throw .badArgument("root \(commit.root) needs at least one shard")
        }
        let content = try completeContent(id, commit)
        releaseReservations(id, from: commit.shardCount)
        let former = roots[commit.root]
        if let former { removeClusterDAG(former) }
        roots[commit.root] = RootRecord(
            root: commit.root, options: upload.options, clusterDAG: commit.clusterDAG, upload: id,
            shardCount: commit.shardCount, blockCount: content.blockCount,
            payloadByteCount: content.payloadByteCount,
            contentByteCount: commit.contentByteCount, pinnedAt: logTime)
        dirty.roots.append(commit.root)
        addRoot(commit.root, clusterDAG: commit.clusterDAG)
        manifests[id]?.root = commit.root
        end(id, .committed(root: commit.root, at: logTime))
        if let former { _ = releaseManifest(former.upload) }
        return .committed(CommittedUpload(root: commit.root, replaced: former != nil))
    }

    @discardableResult
    mutating func abortUpload(_ id: UploadID, reason: String) throws(Refusal) -> Outcome {
        _ = try openRecord(id)
        _ = releaseManifest(id)
        end(id, .aborted(reason: reason, at: logTime))
        return .done
    }

    mutating func renewUpload(_ id: UploadID) throws(Refusal) -> Outcome {
        _ = try openRecord(id)
        uploads[id]?.renewals += 1
        dirty.uploads.append(id)
        return .done
    }

    mutating func expireUpload(_ id: UploadID, renewals: Int) throws(Refusal) -> Outcome {
        let upload = try openRecord(id)
        guard upload.renewals == renewals else {
            throw .uploadRenewed(id, renewals: upload.renewals)
        }
        return try abortUpload(id, reason: "expired: not renewed in time")
    }

    mutating func forgetEndedUploads(endedBefore time: LogTime) -> Outcome {
        let forgotten = endedUploads.prefix(Self.forgetLimit).prefix { id in
            (uploads[id]?.endedAt).map { $0 < time } ?? true
        }
        for id in forgotten {
            uploads[id] = nil
            dirty.uploads.append(id)
        }
        endedUploads.removeFirst(forgotten.count)
        forgetDrops()
        return .forgotten(count: forgotten.count)
    }

    /// The record of an upload that may go on.
    func openRecord(_ id: UploadID) throws(Refusal) -> UploadRecord {
        guard let upload = uploads[id] else { throw .unknownUpload(id) }
        switch upload.phase {
        case .open: return upload
        case .committed: throw .uploadEnded(id, committed: true)
        case .aborted: throw .uploadEnded(id, committed: false)
        }
    }

    private mutating func end(_ id: UploadID, _ phase: UploadRecord.Phase) {
        uploads[id]?.phase = phase
        uploads[id]?.endedIndex = appliedIndex
        openUploads.remove(id)
        endedUploads.append(id)
        dirty.uploads.append(id)
        effects.endedUploads.insert(id)
    }

    private func checkRoomForUpload(
        _ byteCount: Int, _ policy: AllocationPolicy
    ) throws(Refusal) {
        do {
            try checkRoom(for: byteCount, policy: policy, among: capacities)
        } catch {
            throw Refusal(error)
        }
    }

    /// Checks that the shards are all there and are what the cluster DAG lists.
    private func completeContent(
        _ id: UploadID, _ commit: UploadCommit
    ) throws(Refusal) -> (blockCount: Int, payloadByteCount: Int) {
        guard let manifest = manifests[id] else { throw .unknownUpload(id) }
        let required = manifest.policy.isEverywhere ? 1 : manifest.policy.replicationMin
        var cids: [CID] = []
        var total = (blockCount: 0, payloadByteCount: 0)
        for number in 0..<commit.shardCount {
            guard number < manifest.entries.count,
                case .sealed(let cid) = manifest.entries[number], let shard = shards[cid]
            else { throw .uploadIncomplete(unsealedNumber: number, shardCount: commit.shardCount) }
            guard shard.copies.count >= required else {
                throw .tooFewCopies(
                    number: number, found: shard.copies.count, required: required)
            }
            cids.append(cid)
            total.blockCount.addClamping(shard.description.blockCount)
            total.payloadByteCount.addClamping(shard.description.payloadByteCount)
        }
        let sealedCount = manifest.entries.count {
            if case .sealed = $0 { true } else { false }
        }
        guard sealedCount == commit.shardCount else {
            throw .tooManyShards(sealed: sealedCount, shardCount: commit.shardCount)
        }
        try checkClusterDAG(cids, commit.clusterDAG)
        return total
    }

    private func checkClusterDAG(_ shards: [CID], _ given: CID) throws(Refusal) {
        let computed: CID
        do {
            computed = try ListNode.root(of: shards)
        } catch {
            throw .badArgument("\(error)")
        }
        guard computed == given else {
            throw .clusterDAGDiffers(computed: computed, given: given)
        }
    }
}

extension Int {
    /// Adds a number from 0 up; a sum that does not fit becomes the largest number.
    mutating func addClamping(_ other: Int) {
        let (sum, overflows) = addingReportingOverflow(other)
        self = overflows ? .max : sum
    }
}

extension Refusal {
    init(_ error: AllocationError) {
        switch error {
        case .tooFewPeersWithRoom(let shortfall): self = .noSpace(shortfall)
        case .tooLittleRoom(let needed, let copies, let free):
            self = .tooLittleRoom(neededByteCount: needed, copies: copies, freeByteCount: free)
        }
    }
}
