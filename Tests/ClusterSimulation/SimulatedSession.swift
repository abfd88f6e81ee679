import Multiformats
import Pinset
import ShardPlanner

/// What a coordinator tells a client.
enum UploadAnswer {
    case offset(Int)
    case complete(CID)
    /// There is no way on; another upload may go better.
    case gone
    /// The cluster has no room.
    case refused
}

/// One upload at its coordinator: fills shards, brings them to their peers, and commits the root; as
/// `UploadSession` and `UploadEngine` do.
final class SimulatedSession {
    enum Phase {
        case open
        /// It is sealed by the state already; its blocks are only compared.
        case known
        case delivering
        case sealed
    }

    struct Shard {
        var phase: Phase
        var units: [Unit] = []
    }

    let plan: UploadPlan
    unowned let peer: SimulatedPeer
    private var units: [Unit] = []
    private(set) var acknowledged = 0
    private(set) var shards: [Shard] = []
    private var placedCount = 0
    private var isBusy = false
    /// Copies on this peer, by number.
    private var own: [Int: Copy] = [:]
    private var deliveries: [Int: SimulatedDelivery] = [:]
    private var whenOver: [(UploadAnswer) -> Void] = []
    private var isCommitting = false
    private(set) var isOver = false

    var id: UploadID { plan.id }
    private var world: World { peer.world }

    init(_ plan: UploadPlan, on peer: SimulatedPeer) {
        self.plan = plan
        self.peer = peer
    }

    func place(_ number: Int) -> Place { Place(upload: id, number: number) }

    // MARK: What clients ask for

    func append(_ new: [Unit], at offset: Int, _ answer: @escaping (UploadAnswer) -> Void) {
        guard !isBusy, !isOver else { return }
        guard offset == units.count || world.mistake == .takesWrongOffset else {
            return answer(.offset(acknowledged))
        }
        isBusy = true
        units += new.prefix(plan.unitCount - units.count)
        whenOver = [answer]
        placeUnits { [self] in
            checkpoint { [self] in
                isBusy = false
                whenOver = []
                answer(.offset(acknowledged))
            }
        }
    }

    func finish(_ answer: @escaping (UploadAnswer) -> Void) {
        guard !isBusy, !isOver, acknowledged == plan.unitCount else { return }
        whenOver.append(answer)
        if world.mistake == .answersBeforeCommit { answer(.complete(Content.root(units))) }
        if let last = shards.indices.last { close(last) }
        commitIfSealed()
    }

    // MARK: Shards

    private func placeUnits(_ then: @escaping () -> Void) {
        if isOver { return }
        while placedCount < units.count {
            let number = placedCount / UploadPlan.shardUnitCount
            guard number < shards.count else {
                if let last = shards.indices.last { close(last) }
                return open(number) { [self] in placeUnits(then) }
            }
            if shards[number].phase == .open {
                if missingByteCount(number) > 0 {
                    return extendReservation(number) { [self] in placeUnits(then) }
                }
                peer.disk.staging[place(number)]?.units.append(units[placedCount])
            }
            shards[number].units.append(units[placedCount])
            placedCount += 1
        }
        then()
    }

    /// File bytes that one more block of a shard needs beyond what is reserved for it.
    private func missingByteCount(_ number: Int) -> Int {
        // One whose upload was ended meanwhile is refused later.
        guard world.mistake != .writesBeyondReservation,
            let reservation = peer.state.reservation(id, number: number)
        else { return 0 }
        return Content.fileByteCount(shards[number].units.count + 1) - reservation.byteCount
    }

    private func extendReservation(_ number: Int, _ then: @escaping () -> Void) {
        let byteCount = Content.fileByteCount(shards[number].units.count + 2)
        peer.perform(
            .extendReservation(id, number: number, byteCount: byteCount)
        ) { [self] outcome in
            guard !isOver else { return }
            switch outcome {
            case .reserved:
                world.count(.extendedReservation)
                then()
            case .refused(let refusal):
                if refusal.isForSpace { world.count(.refusedExtension) }
                fail(isForSpace: refusal.isForSpace)
            default: fail(isForSpace: false)
            }
        }
    }

    private func open(_ number: Int, _ then: @escaping () -> Void) {
        // A session before this one may have come further than what it acknowledged.
        if peer.state.sealedShard(id, number: number) != nil {
            shards.append(Shard(phase: .known))
            return then()
        }
        let isReserved = peer.state.reservation(id, number: number) != nil
        if isReserved || world.mistake == .skipsReservation && number > 0 {
            begin(number)
            return then()
        }
        peer.perform(
            .reserveShard(id, number: number, byteCount: firstReservation)
        ) { [self] outcome in
            guard !isOver else { return }
            switch outcome {
            case .reserved:
                begin(number)
                then()
            case .refused(let refusal): fail(isForSpace: refusal.isForSpace)
            default: fail(isForSpace: false)
            }
        }
    }

    private func begin(_ number: Int) {
        peer.disk.staging[place(number)] = SimulatedDisk.Staged()
        shards.append(Shard(phase: .open))
    }

    /// Enough for a full shard, or for all that is known to come; the first block, where nothing is.
    private var firstReservation: Int {
        let expected = plan.isLengthKnown ? plan.unitCount - placedCount : 1
        return Content.fileByteCount(min(expected, UploadPlan.shardUnitCount))
    }

    private func close(_ number: Int) {
        switch shards[number].phase {
        case .delivering, .sealed: break
        case .known:
            guard
                peer.state.sealedShard(id, number: number)?.description.cid
                    == Content.shard(shards[number].units).cid
            else { return end(.gone) }
            shards[number].phase = .sealed
        case .open: deliver(number, own: nil)
        }
    }

    private func deliver(_ number: Int, own: Copy?) {
        shards[number].phase = .delivering
        let units = shards[number].units
        let delivery = SimulatedDelivery(
            place(number), units, on: peer, own: own, isResumable: plan.isResumable
        ) { [self] result in
            deliveries[number] = nil
            guard !isOver else { return }
            switch result {
            case .sealed(let copy):
                self.own[number] = copy
                if copy == nil { peer.disk.staging[place(number)] = nil }
                shards[number].phase = .sealed
                commitIfSealed()
            case .failed(let isForSpace): fail(isForSpace: isForSpace)
            case .unknown: fail(isForSpace: false)
            }
        }
        deliveries[number] = delivery
        peer.onDisk("sync a shard") { [self] _ in
            guard !isOver else { return }
            syncStaging(number)
            delivery.begin()
        }
    }

    private func syncStaging(_ number: Int) {
        guard let count = peer.disk.staging[place(number)]?.units.count else { return }
        peer.disk.staging[place(number)]?.syncedCount = count
    }

    // MARK: What is acknowledged

    private func checkpoint(_ then: @escaping () -> Void) {
        guard plan.isResumable else {
            acknowledged = units.count
            return then()
        }
        let reached = units.count
        let isEarly = world.mistake == .acknowledgesBeforeSync
        let write = { [self] in
            peer.onDisk("write the journal", needsRoom: true) { [self] hasRoom in
                guard !isOver else { return }
                guard hasRoom else { return fail(isForSpace: true) }
                let skipped = world.mistake == .dropsJournalRecord && reached > 2 ? 1 : 0
                peer.disk.journals[id]?.units = Array(units.prefix(reached - skipped))
                acknowledged = reached
                if world.mistake != .acknowledgesBeforeJournal { then() }
            }
        }
        if world.mistake == .acknowledgesBeforeJournal {
            acknowledged = reached
            write()
            return then()
        }
        if isEarly { return write() }
        peer.onDisk("sync what is staged") { [self] _ in
            guard !isOver else { return }
            for number in shards.indices { syncStaging(number) }
            write()
        }
    }

    /// Goes on with what the journal has.
    func resume(_ journal: SimulatedDisk.Journal) {
        world.count(.resumedUpload)
        units = journal.units
        acknowledged = units.count
        placedCount = units.count
        var rest = units[...]
        while !rest.isEmpty {
            let number = shards.count
            let mine = Array(rest.prefix(UploadPlan.shardUnitCount))
            rest = rest.dropFirst(mine.count)
            let isWhole = mine.count == UploadPlan.shardUnitCount
            if let record = peer.state.sealedShard(id, number: number) {
                let isSame = !isWhole || record.description.cid == Content.shard(mine).cid
                shards.append(Shard(phase: isWhole && isSame ? .sealed : .known, units: mine))
                if isWhole, !isSame { return lose(number) }
                continue
            }
            shards.append(Shard(phase: .open, units: mine))
            guard peer.state.reservation(id, number: number) != nil else { return lose(number) }
            let copy = peer.received[place(number)]?.max()
            if isWhole, copy?.shard == Content.shard(mine).cid,
                let newest = peer.claimNewest(of: Content.shard(mine).cid)
            {
                world.count(.reclaimedCopy)
                deliver(number, own: newest)
                continue
            }
            if let file = copy.flatMap({ peer.disk.files[$0] }), file.units.starts(with: mine) {
                peer.disk.staging[place(number)] = SimulatedDisk.Staged(
                    units: mine, syncedCount: mine.count)
                continue
            }
            guard var staged = peer.disk.staging[place(number)], staged.units.starts(with: mine)
            else { return lose(number) }
            staged.units.removeSubrange(mine.count...)
            staged.syncedCount = mine.count
            peer.disk.staging[place(number)] = staged
            if isWhole, !rest.isEmpty { deliver(number, own: nil) }
        }
    }

    private func lose(_ number: Int) {
        let found = peer.disk.staging[place(number)].map { "\($0.units.count) blocks staged" }
        let copy = peer.received[place(number)]?.max().map { "generation \($0.generation) here" }
        world.report(
            "peer \(peer.number) lost acknowledged bytes of shard \(number) of upload \(id): "
                + "\(found ?? "nothing staged"), \(copy ?? "no copy"), "
                + "state \(peer.state.appliedIndex)")
    }

    // MARK: The end

    private func commitIfSealed() {
        guard !whenOver.isEmpty, !isBusy, !isCommitting, acknowledged == plan.unitCount,
            shards.count == plan.shardCount, shards.allSatisfy({ $0.phase == .sealed })
        else { return }
        isCommitting = true
        let root = Content.root(units)
        let cids = shards.map { Content.shard($0.units).cid }
        guard let dag = try? ListNode.root(of: cids) else { return end(.gone) }
        let commit = UploadCommit(
            root: root, clusterDAG: dag, shardCount: shards.count,
            contentByteCount: units.count * UploadPlan.unitByteCount)
        if world.mistake == .commitsBeforeRecord { self.commit(commit) }
        peer.onDisk("record a root", needsRoom: true) { [self] hasRoom in
            guard !isOver else { return }
            guard hasRoom else { return fail(isForSpace: true) }
            peer.disk.rootRecords.insert(id)
            if world.mistake != .commitsBeforeRecord { self.commit(commit) }
        }
    }

    private func commit(_ commit: UploadCommit) {
        peer.performPersistently(.commitUpload(id, commit)) { [self] outcome in
            guard !isOver else { return }
            guard case .committed = outcome else { return fail(isForSpace: false) }
            world.count(.commit)
            isOver = true
            let copies = own.keys.sorted().map { own[$0]! }
            own = [:]
            peer.release(copies[...]) { [self] in
                peer.disk.removeStaging(of: id)
                leave()
                answer(.complete(commit.root))
            }
        }
    }

    /// Something went wrong on the way. What has a journal goes on from it later; the rest is given up.
    private func fail(isForSpace: Bool) {
        guard plan.isResumable else { return end(isForSpace ? .refused : .gone) }
        guard !isOver else { return }
        world.count(.suspendedUpload)
        abandon()
        if isForSpace { answer(.refused) }
        whenOver = []
    }

    /// Gives up: nothing of the upload stays.
    private func end(_ answer: UploadAnswer) {
        guard !isOver else { return }
        world.count(.abortedUpload)
        stop { [self] in
            if world.mistake != .leavesOrphans { peer.disk.removeStaging(of: id) }
            peer.perform(.abortUpload(id, reason: "it failed")) { [self] _ in
                // Only the state knows when the copies are of no more use.
                leaveOwn()
                peer.disk.journals[id] = nil
                leave()
            }
        }
        self.answer(answer)
    }

    func giveUp() { end(.gone) }

    /// Leaves the upload to a later session.
    func abandon() {
        guard !isOver else { return }
        stop { [self] in
            leaveOwn()
            peer.sessions[id] = nil
        }
    }

    /// The process has ended.
    func vanish() {
        isOver = true
        for delivery in deliveries.values { delivery.vanish() }
    }

    /// Ends what is on its way.
    private func stop(_ then: @escaping () -> Void) {
        isOver = true
        let running = deliveries.keys.sorted().map { deliveries[$0]! }
        deliveries = [:]
        var runningCount = running.count
        if runningCount == 0 { return then() }
        for delivery in running {
            delivery.cancel {
                runningCount -= 1
                if runningCount == 0 { then() }
            }
        }
    }

    private func leaveOwn() {
        for number in own.keys.sorted() { peer.leave(own[number]!, at: place(number)) }
        own = [:]
    }

    private func leave() {
        peer.sessions[id] = nil
        peer.live.remove(id)
        peer.look()
    }

    private func answer(_ answer: UploadAnswer) {
        for one in whenOver { one(answer) }
        whenOver = []
    }
}

extension Refusal {
    var isForSpace: Bool {
        switch self {
        case .noSpace, .tooLittleRoom, .noSpaceToExtend: true
        default: false
        }
    }
}
