import Multiformats
import Pinset
import ShardPlanner

/// A shard that a coordinator sends.
struct Delivered {
    let place: Place
    let units: [Unit]
    let allocationVersion: Int
    let minimumIndex: LogIndex
}

/// Taking shards of others, as `ShardIntake` does.
extension SimulatedPeer {
    private static let intakePatience = 10_000

    /// Stores a shard durably and signs for it; `nil` says no.
    func take(_ shard: Delivered, since began: Int, _ answer: @escaping (Receipt?) -> Void) {
        guard isReady else { return answer(nil) }
        guard state.appliedIndex >= shard.minimumIndex else {
            guard world.now - began < Self.intakePatience else { return answer(nil) }
            return after(200, "behind") { [self] in take(shard, since: began, answer) }
        }
        let reservation = state.reservation(shard.place.upload, number: shard.place.number)
        let isPromised =
            reservation?.peers.contains(id) == true
            && reservation?.allocationVersion == shard.allocationVersion
        guard isPromised, arriving.insert(shard.place).inserted
        else { return answer(nil) }
        let description = Content.shard(shard.units)
        let copy = Copy(
            shard: description.cid, generation: generation(ofShard: description.cid))
        onDisk("note an arrival") { [self] _ in
            if world.mistake != .forgetsMarker { disk.markers[shard.place] = description.cid }
            disk.staging[shard.place] = SimulatedDisk.Staged(units: shard.units)
            onDisk("write a shard", needsRoom: true) { [self] hasRoom in
                guard hasRoom else {
                    disk.staging[shard.place] = nil
                    arriving.remove(shard.place)
                    look()
                    return answer(nil)
                }
                let isSynced = world.mistake != .receiptBeforeSync
                install(shard.units, of: shard.place, isSynced: isSynced, as: copy)
                world.provokeCrash(of: self)
                if world.mistake == .receiptBeforeName { return arrived(shard, copy, answer) }
                onDisk("sync a name") { [self] _ in
                    synchronizeName(of: copy, from: shard.place)
                    arrived(shard, copy, answer)
                }
            }
        }
    }

    private func arrived(
        _ shard: Delivered, _ copy: Copy, _ answer: @escaping (Receipt?) -> Void
    ) {
        let generation = generation(ofShard: copy.shard)
        guard generation > copy.generation else { return sign(shard, copy, answer) }
        renew(copy, generation: generation) { [self] in sign(shard, $0, answer) }
    }

    private func sign(_ shard: Delivered, _ copy: Copy, _ answer: @escaping (Receipt?) -> Void) {
        var former = (received[shard.place] ?? []).filter {
            $0.shard != copy.shard || $0.generation < copy.generation
        }
        received[shard.place, default: []].subtract(former)
        if !received[shard.place, default: []].insert(copy).inserted { former.insert(copy) }
        arriving.remove(shard.place)
        let tell = { [self] in
            look()
            answer(
                Receipt(
                    peer: id, storageID: storageID, generation: copy.generation,
                    fileByteCount: Content.fileByteCount(shard.units.count)))
        }
        release(former.sorted()[...], tell)
    }
}
