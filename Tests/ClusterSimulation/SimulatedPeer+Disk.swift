import Multiformats
import Pinset
import ShardPlanner

/// Claims, and agreement of the disk with the state, as the store and the reconciler have them.
extension SimulatedPeer {
    /// Of the copy of a shard that is here, or the one that a new copy gets.
    func generation(ofShard shard: CID) -> Int {
        state.shard(shard)?.copy(on: id)?.generation ?? state.generation(ofShard: shard, on: id)
    }

    func claim(_ copy: Copy) { claims[copy, default: 0] += 1 }

    private func unclaim(_ copy: Copy) -> Int {
        let left = (claims[copy] ?? 1) - 1
        claims[copy] = left > 0 ? left : nil
        return left
    }

    /// Ends a claim; the file goes unless the state lists it.
    func release(_ copy: Copy) {
        guard unclaim(copy) <= 0 else { return }
        // What a removed peer has is judged when it is a member again.
        guard state.peer(id) != nil else { return }
        let isNeeded =
            state.shard(copy.shard)?.copy(on: id)?.generation == copy.generation
            || state.isDropPending(of: copy.shard, on: id, above: copy.generation)
        guard !isNeeded || world.mistake == .releasesListedCopies else { return look() }
        disk.removeFile(copy)
        world.checkDisks()
    }

    /// Gives a staged shard its name and claims it. The name is not durable yet.
    func install(_ units: [Unit], of place: Place, isSynced: Bool, as copy: Copy) {
        claim(copy)
        disk.staging[place] = nil
        if disk.files[copy] == nil {
            disk.files[copy] = SimulatedDisk.File(
                units: units, isSynced: isSynced, isNamed: false, former: place)
        }
    }

    /// Gives a claimed copy a later generation; the former name stays while others claim it.
    func renew(_ copy: Copy, generation: Int) -> Copy {
        let renewed = Copy(shard: copy.shard, generation: generation)
        if disk.files[renewed] == nil, let file = disk.files[copy] {
            disk.files[renewed] = file
            if claims[copy] == 1 || world.mistake == .renamesClaimedCopies {
                disk.files[copy] = nil
            }
        }
        // Names are synced in the same step, also of one that another upload has just brought.
        disk.files[renewed]?.isNamed = true
        claim(renewed)
        // Where another upload had brought the later copy already, nobody knows of this one any more.
        if unclaim(copy) <= 0, disk.files[copy] != nil { disk.removeFile(copy) }
        return renewed
    }

    /// Takes over a claimed copy that is released when its upload has ended.
    func leave(_ copy: Copy, at place: Place) {
        if let former = received.updateValue(copy, forKey: place) {
            if former == copy { _ = unclaim(copy) } else { release(former) }
        }
        look()
    }

    /// Whether a file that the log does not list has a reason to be here, as far as this peer knows.
    func mayStillHold(_ copy: Copy) -> Bool {
        claims[copy] != nil || kept.contains(copy) || state.appliedIndex < world.truth.appliedIndex
    }

    // MARK: At the start

    /// What a former process has proposed may still get into the log, until its uploads have ended; only
    /// then are files removed that the state does not name.
    func putInOrder(_ then: @escaping () -> Void) {
        for upload in disk.journals.keys.sorted() {
            switch state.upload(upload)?.phase {
            case .open where state.upload(upload)?.options.coordinator == id: live.insert(upload)
            default: disk.journals[upload] = nil
            }
        }
        let orphans = state.allOpenUploads.filter {
            $0.options.coordinator == id && !live.contains($0.id)
        }
        let isHasty = world.mistake == .sweepsTooEarly || world.mistake == .leavesOrphans
        end(isHasty ? [] : orphans.map(\.id)) { [self] in
            for place in disk.staging.keys.sorted() where !live.contains(place.upload) {
                disk.staging[place] = nil
            }
            sweep()
            then()
        }
    }

    private func end(_ uploads: [UploadID], _ then: @escaping () -> Void) {
        guard let upload = uploads.first else { return then() }
        performPersistently(.abortUpload(upload, reason: "nobody works on it")) { [self] _ in
            end(Array(uploads.dropFirst()), then)
        }
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
    }

    // MARK: Later

    func reconcile() {
        abortOrphans()
        releaseWhatArrived()
        dropWhatIsNotNeeded()
    }

    private func abortOrphans() {
        if world.mistake == .leavesOrphans { return }
        for upload in state.allOpenUploads
        where upload.options.coordinator == id && !live.contains(upload.id) {
            // Nobody works on it while this is under way.
            live.insert(upload.id)
            performPersistently(.abortUpload(upload.id, reason: "nobody works on it")) {
                [self] _ in live.remove(upload.id)
            }
        }
    }

    private func releaseWhatArrived() {
        let places = Set(disk.markers.keys).union(received.keys).sorted()
        for place in places where state.upload(place.upload)?.isOpen != true {
            // What is still arriving is refused at its end, and looked at again then.
            if arriving.contains(where: { $0.upload == place.upload }) { continue }
            if sessions[place.upload] != nil { continue }
            disk.removeStaging(of: place.upload)
            disk.markers[place] = nil
            if let copy = received.removeValue(forKey: place) { release(copy) }
        }
    }

    private func dropWhatIsNotNeeded() {
        if world.mistake == .forgetsDrops { return }
        for drop in state.holdings(of: id).drops {
            let name = Copy(shard: drop.shard, generation: drop.generation)
            guard removing.insert(name).inserted else { continue }
            onDisk("remove") { [self] _ in remove(name) }
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
            for copy in old { disk.removeFile(copy) }
        }
        performPersistently(
            .confirmDropped(id, shard: drop.shard, generation: drop.generation)
        ) { [self] _ in removing.remove(drop) }
        world.checkDisks()
    }
}
