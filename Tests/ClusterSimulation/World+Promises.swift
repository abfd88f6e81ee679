import Multiformats
import Pinset
import ShardPlanner

/// What must hold after every step, and what must hold in the end.
extension World {
    /// After a command that changed something.
    func checkTruth(since before: [PeerRecord]) {
        for law in truth.checkInvariants() { report("a law of the state is broken: \(law)") }
        let former = Dictionary(uniqueKeysWithValues: before.map { ($0.peer, $0) })
        for member in truth.members {
            let taken = member.usedByteCount + member.reservedByteCount
            let was = former[member.peer].map { $0.usedByteCount + $0.reservedByteCount } ?? 0
            if taken > was, taken > member.capacityByteCount {
                report("peer \(name(member.peer)) is promised away beyond its capacity")
            }
        }
        checkRootRecords()
        checkDisks()
    }

    /// After a command, a crash or a removal.
    func checkDisks() {
        for peer in peers where peer.presence != .lost { checkCopies(of: peer) }
    }

    /// Whoever was removed without a word on losses had no last copy.
    func checkCopiesAreLeft() {
        for shard in shardsWithoutCopies {
            report("shard \(short(shard)) has lost its last copy")
        }
    }

    private var shardsWithoutCopies: [CID] {
        truth.shards(limit: .max).filter { $0.copies.isEmpty }.map(\.description.cid)
            .filter { !givenUp.contains($0) }
    }

    /// Every copy that the log lists is there and outlives a power cut, and every file is accounted for.
    private func checkCopies(of peer: SimulatedPeer) {
        let holdings = truth.holdings(of: peer.id)
        var accounted: Set<Copy> = []
        for held in holdings.copies {
            let copy = Copy(shard: held.shard, generation: held.generation)
            accounted.insert(copy)
            guard let file = peer.disk.files[copy] else {
                report(
                    "peer \(peer.number) lost shard \(short(copy.shard)), generation \(copy.generation)"
                )
                continue
            }
            if !file.isSynced || !file.isNamed {
                report(
                    "shard \(short(copy.shard)) on peer \(peer.number) would not outlive a power cut"
                )
            }
            if Content.shard(file.units).cid != copy.shard {
                report("shard \(short(copy.shard)) on peer \(peer.number) has other bytes")
            }
        }
        // A process that starts has not looked yet.
        guard peer.isReady else { return }
        for copy in peer.claims.keys.sorted()
        where peer.disk.files[copy] == nil && !peer.renewing.contains(copy) {
            report("shard \(short(copy.shard)) on peer \(peer.number) is claimed and has gone")
        }
        let drops = Dictionary(
            uniqueKeysWithValues: holdings.drops.map { ($0.shard, $0.generation) })
        for copy in peer.disk.files.keys.sorted() where !accounted.contains(copy) {
            let isDropped = drops[copy.shard].map { copy.generation < $0 } ?? false
            guard !isDropped, !peer.mayStillHold(copy) else { continue }
            report("shard \(short(copy.shard)) on peer \(peer.number) is nobody's")
        }
        for (place, staged) in peer.disk.staging.sorted(by: { $0.key < $1.key }) {
            guard !staged.units.isEmpty, truth.upload(place.upload)?.isOpen == true,
                truth.sealedShard(place.upload, number: place.number) == nil
            else { continue }
            let reservation = truth.reservation(place.upload, number: place.number)
            if Content.fileByteCount(staged.units.count) > reservation?.byteCount ?? 0 {
                report(
                    "peer \(peer.number) writes more of shard \(place.number) than is reserved for it"
                )
            }
        }
    }

    /// Whoever took an upload in keeps a record of its root, unless its disk was lost.
    private func checkRootRecords() {
        for root in truth.allRoots {
            guard let peer = peer(root.options.coordinator), peer.presence != .lost,
                !peer.disk.rootRecords.contains(root.upload)
            else { continue }
            report("peer \(peer.number) has no record of a root that it has committed")
        }
    }

    /// Equal commands, equal states.
    func checkState(of peer: SimulatedPeer) {
        guard peer.state.appliedIndex == truth.appliedIndex else { return }
        if peer.state.digest() != truth.digest() {
            report("the state of peer \(peer.number) differs at log index \(truth.appliedIndex)")
        }
    }

    /// A client was told that its upload is complete.
    func checkCommitted(_ upload: UploadID, root: CID) {
        if case .committed(root, _) = truth.upload(upload)?.phase { return }
        report("a client was told of a root that is not committed")
    }

    // MARK: The end

    /// What is still to be done, or never will be.
    func findUnrest() -> [String] {
        var unrest: [String] = []
        for client in clients where !client.isDone { unrest.append(client.description) }
        for upload in truth.allOpenUploads { unrest.append("upload \(upload.id) is open") }
        for member in truth.members {
            if member.reservedByteCount != 0 {
                unrest.append("\(name(member.peer)) has reservations")
            }
            if member.droppingByteCount != 0 { unrest.append("\(name(member.peer)) has drops") }
            if member.status != .up { unrest.append("\(name(member.peer)) counts as down") }
            if !truth.shardsToCopy(from: member.peer, lost: [], limit: 1).isEmpty {
                unrest.append("\(name(member.peer)) has shards to copy")
            }
        }
        for shard in shardsWithoutCopies { unrest.append("shard \(short(shard)) has no copy") }
        for peer in presentPeers { unrest += findUnrest(on: peer) }
        return unrest + findUnrestOfMembers()
    }

    /// Who is a member of the cluster, and who votes.
    private func findUnrestOfMembers() -> [String] {
        var unrest: [String] = []
        if !errands.isEmpty { unrest.append("the operator is not done") }
        let present = presentPeers
        if Set(present.map(\.id)) != Set(truth.members.map(\.peer)) {
            unrest.append("the members are not those that are there")
        }
        if !voters.canDecide { unrest.append("nobody leads") }
        let wanted = present.count >= 5 ? 5 : present.count >= 3 ? 3 : 1
        let members = voters.configuration.members
        if members.count != wanted || members.contains(where: \.isLearner) {
            unrest.append("\(members.map(\.peerURLs)) vote, and \(wanted) of them should")
        }
        for member in members {
            let isThere = present.contains {
                $0.member.map { $0.id == member.id && voters.isLiving($0) } == true
            }
            if !isThere { unrest.append("a member at \(member.peerURLs) is nobody's") }
        }
        for peer in present
        where peer.member.map({ own in members.contains { $0.id == own.id } }) == false {
            unrest.append("peer \(peer.number) keeps a member that is none")
        }
        return unrest
    }

    private func findUnrest(on peer: SimulatedPeer) -> [String] {
        var unrest: [String] = []
        if !peer.isReady { unrest.append("peer \(peer.number) is not ready") }
        if peer.state.appliedIndex != truth.appliedIndex {
            unrest.append("peer \(peer.number) is behind")
        } else {
            checkState(of: peer)
        }
        let held = Set(
            truth.holdings(of: peer.id).copies.map {
                Copy(shard: $0.shard, generation: $0.generation)
            })
        if Set(peer.disk.files.keys).subtracting(peer.kept) != held.subtracting(peer.kept) {
            unrest.append("peer \(peer.number) has other files than the state says")
        }
        if !peer.disk.staging.isEmpty { unrest.append("peer \(peer.number) has staging files") }
        if !peer.disk.markers.isEmpty { unrest.append("peer \(peer.number) has notes of arrivals") }
        if peer.disk.journals.keys.contains(where: { !isCommitted($0) }) {
            unrest.append("peer \(peer.number) has journals")
        }
        if peer.disk.rootRecords.contains(where: { truth.rootOfUpload($0) == nil }) {
            unrest.append("peer \(peer.number) has records of roots that are none")
        }
        return unrest
    }

    private func isCommitted(_ upload: UploadID) -> Bool {
        if case .committed = truth.upload(upload)?.phase { true } else { false }
    }

    private func name(_ id: PeerID) -> String { peer(id).map { "peer \($0.number)" } ?? "\(id)" }

    private func short(_ cid: CID) -> String { String("\(cid)".suffix(6)) }
}
