import Multiformats
import Pinset
import ShardPlanner

/// Brings one shard to the peers it was allocated to, and to others when some fail; as `ShardDelivery`.
final class SimulatedDelivery {
    enum Result {
        /// With the copy on this peer, claimed.
        case sealed(Copy?)
        case failed(isForSpace: Bool)
        case unknown
    }

    private static let roundLimit = 12
    private static let patience = 8000

    private let place: Place
    private let units: [Unit]
    private let peer: SimulatedPeer
    private let isResumable: Bool
    private let whenDone: (Result) -> Void
    private var own: Copy?
    private var receipts: [PeerID: Receipt] = [:]
    private var failed: Set<PeerID> = []
    private var skipsHeld = true
    private var round = 0
    private var awaited: Set<PeerID> = []
    private var isOver = false
    /// Whoever ends this waits for the step that the disk is at.
    private var isOnDisk = false
    private var whenStopped: () -> Void = {}

    private var shard: ShardDescription { Content.shard(units) }

    init(
        _ place: Place, _ units: [Unit], on peer: SimulatedPeer, own: Copy?, isResumable: Bool,
        _ whenDone: @escaping (Result) -> Void
    ) {
        self.place = place
        self.units = units
        self.peer = peer
        self.own = own
        self.isResumable = isResumable
        self.whenDone = whenDone
    }

    /// One round: what is allocated and not proved.
    func begin() {
        if isOver { return }
        round += 1
        guard round <= Self.roundLimit,
            let reservation = peer.state.reservation(place.upload, number: place.number)
        else { return done(.failed(isForSpace: false)) }
        let wanted = reservation.peers.filter { receipts[$0] == nil }
        let others = Set(
            wanted.filter { other in
                other != peer.id && peer.state.peer(other) != nil
                    && (!skipsHeld || peer.state.shard(shard.cid)?.copy(on: other) == nil)
            })
        avoidSilent(among: others) { [self] in
            awaited = others
            let version = reservation.allocationVersion
            if wanted.contains(peer.id) {
                installOwn { [self] in send(version) }
            } else {
                send(version)
            }
        }
    }

    /// Asks for other peers in place of those that kept another shard waiting a moment ago; where there
    /// are none, those are tried.
    private func avoidSilent(among others: Set<PeerID>, _ proceed: @escaping () -> Void) {
        let silent = others.filter(peer.isSilent)
        guard !silent.isEmpty else { return proceed() }
        peer.world.count(.avoidedPeer)
        peer.perform(
            .reallocateShard(
                place.upload, number: place.number, excluding: failed.union(silent).sorted())
        ) { [self] outcome in
            if isOver { return }
            switch outcome {
            case .reserved: begin()
            case .refused(.noSpace): proceed()
            case nil: done(.unknown)
            default: done(.failed(isForSpace: false))
            }
        }
    }

    private func installOwn(_ then: @escaping () -> Void) {
        if let own {
            receipts[peer.id] = receipt(own)
            return then()
        }
        let copy = Copy(
            shard: shard.cid, generation: peer.generation(ofShard: shard.cid))
        guard isResumable else { return nameOwn(copy, then) }
        peer.onDisk("note an own shard") { [self] _ in
            if isOver { return }
            peer.disk.markers[place] = shard.cid
            nameOwn(copy, then)
        }
    }

    private func nameOwn(_ copy: Copy, _ then: @escaping () -> Void) {
        isOnDisk = true
        peer.onDisk("name an own shard") { [self] _ in
            // Another peer may have ended the upload, and the file has gone.
            guard let staged = peer.disk.staging[place] else {
                return endStepOfDisk { [self] in done(.failed(isForSpace: false)) }
            }
            let isSynced = staged.syncedCount == staged.units.count
            peer.install(units, of: place, isSynced: isSynced, as: copy)
            own = copy
            peer.world.provokeCrash(of: peer)
            peer.onDisk("sync an own name") { [self] _ in
                peer.synchronizeName(of: copy, from: place)
                endStepOfDisk { [self] in
                    receipts[peer.id] = receipt(copy)
                    then()
                }
            }
        }
    }

    private func endStepOfDisk(_ then: () -> Void) {
        isOnDisk = false
        if isOver { leaveOwn() } else { then() }
    }

    private func receipt(_ copy: Copy) -> Receipt {
        Receipt(
            peer: peer.id, storageID: peer.storageID, generation: copy.generation,
            fileByteCount: shard.fileByteCount)
    }

    // MARK: Sending

    private func send(_ version: Int) {
        if isOver { return }
        guard !awaited.isEmpty else { return seal() }
        let world = peer.world
        let message = Delivered(
            place: place, units: units, allocationVersion: version,
            minimumIndex: peer.state.appliedIndex)
        let (number, sender) = (round, peer)
        for member in awaited.sorted() {
            guard let other = world.peer(member) else { continue }
            world.send(from: peer.number, to: other, "put") { other in
                other.take(message, since: world.now) { receipt in
                    world.answer("receipt") { [weak self] in
                        guard !world.isCut(sender.number, other.number) else { return }
                        self?.answered(member, receipt, in: number)
                    }
                }
            }
        }
        peer.after(Self.patience, "no receipt") { [self] in
            guard round == number, !awaited.isEmpty else { return }
            let silent = awaited.sorted()
            awaited = []
            for member in silent { lacksAnswer(of: member) }
            settle()
        }
    }

    private func lacksAnswer(of member: PeerID) {
        peer.noteAnswer(of: member, came: false)
        guard peer.world.mistake == .forgesReceipt, let other = peer.world.peer(member) else {
            failed.insert(member)
            return
        }
        receipts[member] = Receipt(
            peer: member, storageID: other.storageID,
            generation: peer.state.generation(ofShard: shard.cid, on: member),
            fileByteCount: shard.fileByteCount)
    }

    private func answered(_ member: PeerID, _ receipt: Receipt?, in number: Int) {
        guard peer.isRunning, !isOver, round == number, awaited.remove(member) != nil else {
            return
        }
        peer.noteAnswer(of: member, came: true)
        if let receipt { receipts[member] = receipt } else { failed.insert(member) }
        if awaited.isEmpty { settle() }
    }

    /// Asks for others in place of those that failed in this round.
    private func settle() {
        if isOver { return }
        guard !failed.isDisjoint(with: currentPeers) else { return seal() }
        peer.world.count(.movedShard)
        peer.perform(
            .reallocateShard(
                place.upload, number: place.number, excluding: failed.sorted())
        ) { [self] outcome in
            if isOver { return }
            switch outcome {
            case .reserved: begin()
            case .refused(let refusal) where refusal.isForSpace:
                receipts.isEmpty ? done(.failed(isForSpace: true)) : seal()
            case nil: done(.unknown)
            default: done(.failed(isForSpace: false))
            }
        }
    }

    private var currentPeers: [PeerID] {
        peer.state.reservation(place.upload, number: place.number)?.peers ?? []
    }

    // MARK: Sealing

    private func seal() {
        peer.performPersistently(
            .sealShard(
                place.upload, number: place.number, shard,
                receipts: receipts.values.sorted { $0.peer < $1.peer })
        ) { [self] outcome in
            if isOver { return }
            switch outcome {
            case .sealed: done(.sealed(own))
            case .refused(let refusal): mend(refusal)
            default: done(.failed(isForSpace: false))
            }
        }
    }

    private func mend(_ refusal: Refusal) {
        switch refusal {
        case .receiptOutdated(peer.id, _, let dropped):
            guard let former = own else { return done(.failed(isForSpace: false)) }
            isOnDisk = true
            peer.renew(former, generation: dropped) { [self] renewed in
                own = renewed
                endStepOfDisk { [self] in
                    receipts[peer.id] = receipt(renewed)
                    begin()
                }
            }
        case .receiptOutdated(let other, _, _), .receiptFromStranger(let other):
            receipts[other] = nil
            begin()
        case .tooFewReceipts where skipsHeld:
            skipsHeld = false
            begin()
        default: done(.failed(isForSpace: refusal.isForSpace))
        }
    }

    private func done(_ result: Result) {
        isOver = true
        if case .sealed = result {} else { leaveOwn() }
        whenDone(result)
    }

    /// The process has ended.
    func vanish() { isOver = true }

    /// Leaves the copy here, if there is one, to whoever goes on with the upload.
    func cancel(_ whenStopped: @escaping () -> Void) {
        isOver = true
        self.whenStopped = whenStopped
        if !isOnDisk { leaveOwn() }
    }

    private func leaveOwn() {
        if let own { peer.leave(own, at: place) }
        own = nil
        whenStopped()
    }
}
