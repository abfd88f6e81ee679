import Multiformats
import Pinset
import ShardPlanner

/// Claims, and agreement of the disk with the state, as the store and the reconciler have them.
extension SimulatedPeer {
    /// Of the copy of a shard that is here, or the one that a new copy gets.
    func generation(ofShard shard: CID) -> Int {
        state.shard(shard)?.copy(on: id)?.generation ?? state.generation(ofShard: shard, on: id)
    }

    func claim(_ copy: Copy) {
        claims[copy, default: 0] += 1
        claimCount += 1
        lastClaim[copy] = claimCount
    }

    private func unclaim(_ copy: Copy) -> Int {
        let left = (claims[copy] ?? 1) - 1
        claims[copy] = left > 0 ? left : nil
        return left
    }

    /// Claims the newest copy of a shard that is here.
    func claimNewest(of shard: CID) -> Copy? {
        guard let generation = disk.newestGeneration(of: shard) else { return nil }
        let copy = Copy(shard: shard, generation: generation)
        claim(copy)
        return copy
    }

    /// Claims the copies of a shard that are here.
    func claimAll(of shard: CID) -> Set<Copy> {
        if world.mistake == .claimsNewestOnly {
            return Set([claimNewest(of: shard)].compactMap(\.self))
        }
        let copies = disk.files.keys.filter { $0.shard == shard }.sorted()
        for copy in copies { claim(copy) }
        return Set(copies)
    }

    /// Ends a claim; the file goes unless the state, read after that, lists it.
    func release(_ copy: Copy, _ then: @escaping () -> Void = {}) {
        guard unclaim(copy) <= 0 else { return then() }
        let last = lastClaim[copy]
        releasing[copy, default: 0] += 1
        after(world.random(0...2), "release") { [self] in
            // What a removed peer has is judged when it is a member again.
            let isNeeded =
                state.peer(id) == nil
                || state.shard(copy.shard)?.copy(on: id)?.generation == copy.generation
                || state.isDropPending(of: copy.shard, on: id, above: copy.generation)
            guard !isNeeded || world.mistake == .releasesListedCopies else {
                endRelease(of: copy)
                look()
                return then()
            }
            onDisk("remove what is released") { [self] _ in
                endRelease(of: copy)
                // Somebody may have claimed it again.
                if claims[copy] == nil, lastClaim[copy] == last, disk.files[copy] != nil {
                    disk.removeFile(copy)
                    world.count(.releasedCopy)
                }
                world.checkDisks()
                synchronizeRemovals(then)
            }
        }
    }

    private func endRelease(of copy: Copy) {
        let left = releasing[copy, default: 1] - 1
        releasing[copy] = left > 0 ? left : nil
    }

    /// Gives a staged shard its name and claims it. The name is not durable yet, also where another upload
    /// has just given it: what is staged stays until `synchronizeName`.
    func install(_ units: [Unit], of place: Place, isSynced: Bool, as copy: Copy) {
        claim(copy)
        if disk.files[copy] == nil {
            disk.files[copy] = SimulatedDisk.File(
                units: units, isSynced: isSynced, isNamed: false, former: .staged(place))
            disk.staging[place] = nil
        }
        world.provokeRemoval(of: copy.shard)
    }

    /// Makes the name of an installed shard durable, and with it all that was removed.
    func synchronizeName(of copy: Copy, from place: Place) {
        if world.mistake != .confirmsBeforeSync { disk.synchronizeRemovals() }
        disk.files[copy]?.isNamed = true
        disk.staging[place] = nil
    }

    /// Gives a claimed copy a later generation; the former name stays while others claim it.
    func renew(_ copy: Copy, generation: Int, _ then: @escaping (Copy) -> Void) {
        onDisk("renew a copy") { [self] _ in
            let renewed = Copy(shard: copy.shard, generation: generation)
            if disk.files[renewed] == nil {
                let isShared = claims[copy, default: 0] > 1
                world.count(isShared ? .linkedCopy : .renewedCopy)
                disk.rename(
                    copy, to: renewed,
                    keepingFormer: isShared && world.mistake != .renamesClaimedCopies)
            }
            claim(renewed)
            renewing.insert(copy)
            world.provokeCrash(of: self)
            onDisk("sync a renewed name") { [self] _ in
                // Also of one that another upload has just brought.
                disk.files[renewed]?.isNamed = true
                renewing.remove(copy)
                // Where it had, nobody else looks after this one.
                release(copy) { then(renewed) }
            }
        }
    }

    /// Takes over a claimed copy that is released when its upload has ended.
    func leave(_ copy: Copy, at place: Place) {
        if !received[place, default: []].insert(copy).inserted { _ = unclaim(copy) }
        look()
    }

    /// Whether a file that the log does not list has a reason to be here, as far as this peer knows.
    func mayStillHold(_ copy: Copy) -> Bool {
        claims[copy] != nil || releasing[copy] != nil || kept.contains(copy)
            || state.appliedIndex < world.truth.appliedIndex
    }

    // MARK: At the start

    /// What a former process has proposed may still get into the log, until its uploads have ended; only
    /// then are files removed that the state does not name.
    func putInOrder(_ then: @escaping () -> Void) {
        for upload in disk.journals.keys.sorted() {
            switch state.upload(upload)?.phase {
            case .open where state.upload(upload)?.options.coordinator == id: live.insert(upload)
            case .committed: break
            default: disk.journals[upload] = nil
            }
        }
        let tidy = { [self] in
            for place in disk.staging.keys.sorted() where !live.contains(place.upload) {
                disk.staging[place] = nil
            }
            sweep()
            dropWhatIsNotNeeded(then)
        }
        if world.mistake == .sweepsTooEarly { tidy() } else { abortOrphans(tidy) }
    }

    /// Removes what a former process left and the state does not name.
    private func sweep() {
        let holdings = state.holdings(of: id)
        let held = Set(
            holdings.copies.map { Copy(shard: $0.shard, generation: $0.generation) })
        let dropped = Dictionary(
            uniqueKeysWithValues: holdings.drops.map { ($0.shard, $0.generation) })
        for copy in disk.files.keys.sorted() where !held.contains(copy) {
            if claims[copy] != nil, world.mistake != .sweepsClaimedCopies { continue }
            if let generation = dropped[copy.shard], copy.generation < generation { continue }
            if state.shard(copy.shard)?.copies.isEmpty == true {
                kept.insert(copy)
                continue
            }
            disk.removeFile(copy)
        }
        if world.mistake != .confirmsBeforeSync { disk.synchronizeRemovals() }
    }

    // MARK: Later

    /// One look after another, each in this order.
    func reconcile(_ then: @escaping () -> Void) {
        dropWhatIsNotNeeded { [self] in releaseWhatArrived { [self] in abortOrphans(then) } }
    }

    private func dropWhatIsNotNeeded(_ then: @escaping () -> Void) {
        if world.mistake == .forgetsDrops { return then() }
        let drops = state.holdings(of: id).drops.map {
            Copy(shard: $0.shard, generation: $0.generation)
        }
        drop(drops[...]) { [self] in
            removeRootRecords()
            then()
        }
    }

    private func drop(_ drops: ArraySlice<Copy>, _ then: @escaping () -> Void) {
        guard let next = drops.first else { return then() }
        guard removing.insert(next).inserted else { return drop(drops.dropFirst(), then) }
        onDisk("remove") { [self] _ in
            remove(next)
            drop(drops.dropFirst(), then)
        }
    }

    /// Removes what is older than a drop, and says that its space is free.
    private func remove(_ drop: Copy) {
        let old = disk.files.keys.filter {
            $0.shard == drop.shard && $0.generation < drop.generation
        }.sorted()
        // Whoever claims one renews or releases it, and looks again then.
        if old.contains(where: { claims[$0] != nil }) {
            removing.remove(drop)
            return
        }
        if world.mistake != .confirmsBeforeRemoval {
            for copy in old {
                disk.removeFile(copy)
                world.count(.droppedCopy)
            }
        }
        synchronizeRemovals { [self] in
            performPersistently(
                .confirmDropped(id, shard: drop.shard, generation: drop.generation)
            ) { [self] _ in removing.remove(drop) }
        }
        world.checkDisks()
    }

    /// Until then a power cut may bring back what was removed.
    private func synchronizeRemovals(_ then: @escaping () -> Void) {
        world.provokeCrash(of: self)
        if world.mistake == .confirmsBeforeSync { return then() }
        onDisk("sync removals") { [self] _ in
            disk.synchronizeRemovals()
            then()
        }
    }

    private func removeRootRecords() {
        disk.rootRecords = disk.rootRecords.filter { upload in
            switch state.upload(upload)?.phase {
            case .open: true
            case .committed(let root, _): state.root(root)?.upload == upload
            case .aborted: false
            case nil: state.rootOfUpload(upload) != nil
            }
        }
    }

    private func releaseWhatArrived(_ then: @escaping () -> Void) {
        let uploads = Set(disk.markers.keys.map(\.upload)).union(received.keys.map(\.upload))
        // What is still arriving is refused at its end, and looked at again then.
        let ended = uploads.filter { upload in
            state.upload(upload)?.isOpen != true && !arriving.contains { $0.upload == upload }
        }
        forget(ended.sorted()[...], then)
    }

    private func forget(_ uploads: ArraySlice<UploadID>, _ then: @escaping () -> Void) {
        guard let upload = uploads.first else { return then() }
        onDisk("forget an upload") { [self] _ in
            disk.removeStaging(of: upload)
            disk.markers = disk.markers.filter { $0.key.upload != upload }
            let places = received.keys.filter { $0.upload == upload }.sorted()
            let copies = places.flatMap { received.removeValue(forKey: $0)?.sorted() ?? [] }
            release(copies[...]) { [self] in forget(uploads.dropFirst(), then) }
        }
    }

    func release(_ copies: ArraySlice<Copy>, _ then: @escaping () -> Void) {
        guard let copy = copies.first else { return then() }
        release(copy) { [self] in release(copies.dropFirst(), then) }
    }

    private func abortOrphans(_ then: @escaping () -> Void) {
        if world.mistake == .leavesOrphans { return then() }
        let open = state.allOpenUploads.filter { $0.options.coordinator == id }.map(\.id)
        abort(open[...], then)
    }

    private func abort(_ open: ArraySlice<UploadID>, _ then: @escaping () -> Void) {
        guard let upload = open.first(where: { !live.contains($0) }) else { return then() }
        world.count(.orphan)
        performPersistently(.abortUpload(upload, reason: "nobody works on it")) { [self] _ in
            abort(open.drop { $0 != upload }.dropFirst(), then)
        }
    }
}
