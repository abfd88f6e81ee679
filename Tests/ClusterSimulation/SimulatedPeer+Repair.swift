import Multiformats
import Pinset
import ShardPlanner

struct RepairState {
    /// By this peer's own clock.
    var downSince: [PeerID: Int] = [:]
    var failed: [CID: Int] = [:]
    /// Peers that a copy did not reach.
    var missed: [PeerID: Int] = [:]
    var isBusy = false
    /// The upload whose copy is on its way.
    var awaited: UploadID?
}

/// New copies of what is lost, as `Repairer` makes them.
extension SimulatedPeer {
    private static let graceTime = 12_000
    private static let failurePause = 10_000
    private static let missPause = 60_000

    func lookForRepairs() {
        guard isReady, world.mistake != .neverRepairs else { return }
        let now = world.now
        let down = state.members.filter { $0.status != .up }.map(\.peer)
        repair.downSince = Dictionary(
            uniqueKeysWithValues: down.map { ($0, repair.downSince[$0] ?? now) })
        let lost = Set(repair.downSince.filter { now - $0.value >= Self.graceTime }.keys)
        endUploads(ofLost: lost)
        repair.failed = repair.failed.filter { now - $0.value < Self.failurePause }
        guard !repair.isBusy,
            let shard = state.shardsToCopy(
                from: id, lost: lost, skipping: Set(repair.failed.keys), limit: 1
            ).first
        else { return }
        let targets = promising(among: state.peersForAnotherCopy(of: shard, lost: lost))
        guard !targets.isEmpty else { return }
        copy(shard, to: targets)
    }

    /// Peers that no copy has missed a moment ago, where there are some.
    private func promising(among able: [PeerID]) -> [PeerID] {
        repair.missed = repair.missed.filter { world.now - $0.value < Self.missPause }
        let promising = able.filter { repair.missed[$0] == nil && !isSilent($0) }
        return promising.isEmpty ? able : promising
    }

    /// One peer does it for all.
    private func endUploads(ofLost lost: Set<PeerID>) {
        guard state.members.first(where: { $0.status == .up })?.peer == id else { return }
        for upload in state.allOpenUploads where lost.contains(upload.options.coordinator) {
            perform(.abortUpload(upload.id, reason: "the peer that took it is lost")) { _ in }
        }
    }

    private func copy(_ shard: ShardRecord, to targets: [PeerID]) {
        repair.isBusy = true
        let upload = UploadID(high: world.random.next(), low: world.random.next())
        live.insert(upload)
        let cid = shard.description.cid
        let finish = { [self] (isDone: Bool) in
            repair.isBusy = false
            if !isDone { repair.failed[cid] = world.now }
            // Whatever is still open then is aborted.
            if world.mistake != .forgetsToEndRepairs { live.remove(upload) }
            look()
        }
        guard let policy = try? AllocationPolicy(userAllocations: targets),
            let own = shard.copy(on: id)
        else { return finish(false) }
        perform(
            .openUpload(
                upload,
                UploadOptions(
                    name: "copy", policy: policy, shardLimitByteCount: nil, coordinator: id))
        ) { [self] outcome in
            guard outcome == .done else { return finish(false) }
            perform(
                .reserveShard(upload, number: 0, byteCount: shard.description.fileByteCount)
            ) { [self] outcome in
                guard case .reserved(let reserved) = outcome, let target = reserved.peers.first,
                    let file = disk.files[Copy(shard: cid, generation: own.generation)]
                else { return finish(false) }
                send(file.units, reserved, to: target, Place(upload: upload, number: 0), finish)
            }
        }
    }

    private func send(
        _ units: [Unit], _ reserved: ReservedShard, to target: PeerID, _ place: Place,
        _ finish: @escaping (Bool) -> Void
    ) {
        guard let other = world.peer(target) else { return finish(false) }
        let message = Delivered(
            place: place, units: units, allocationVersion: reserved.allocationVersion,
            minimumIndex: state.appliedIndex)
        repair.awaited = place.upload
        world.send(from: number, to: other, "put a copy") { [world] other in
            other.take(message, since: world.now) { [self] receipt in
                world.answer("receipt of a copy") { [self] in
                    // Nothing is said to a process that has ended.
                    after(0, "take a receipt") { [self] in
                        answered(receipt, of: target, units, place, finish)
                    }
                }
            }
        }
        after(10_000, "no receipt of a copy") { [self] in
            answered(nil, of: target, units, place, finish)
        }
    }

    /// One answer, or none in time.
    private func answered(
        _ receipt: Receipt?, of target: PeerID, _ units: [Unit], _ place: Place,
        _ finish: @escaping (Bool) -> Void
    ) {
        guard repair.awaited == place.upload else { return }
        repair.awaited = nil
        guard let receipt else {
            repair.missed[target] = world.now
            return finish(false)
        }
        performPersistently(
            .sealShard(place.upload, number: 0, Content.shard(units), receipts: [receipt])
        ) { [self] outcome in
            guard case .sealed = outcome else { return finish(false) }
            if world.mistake == .forgetsToEndRepairs { return finish(true) }
            world.count(.repairedCopy)
            perform(.abortUpload(place.upload, reason: "the copy is made")) { _ in finish(true) }
        }
    }
}
