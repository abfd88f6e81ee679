import Multiformats
import Pinset
import SeededRandom
import ShardPlanner

/// Somebody who uploads datasets and removes some of them again.
final class SimulatedClient: CustomStringConvertible {
    private enum Job {
        case upload(dataset: Int, isResumable: Bool, copies: Int)
        case unpin(dataset: Int)
    }

    private static let patience = 4000
    private static let attemptLimit = 60
    /// Requests without an answer after which another peer is asked.
    private static let silenceLimit = 3

    private let number: Int
    private unowned let world: World
    private var jobs: [Job] = []
    private var plan: UploadPlan?
    private var units: [Unit] = []
    private var coordinator: SimulatedPeer?
    private var attempts = 0
    private var silentCount = 0
    private var question = 0
    /// Largest offset that was told for this upload.
    private var acknowledged = 0
    private var isOpened = false
    private var lastAnswer = "nothing"

    var isDone: Bool { jobs.isEmpty }
    var description: String {
        "client \(number) waits, with \(jobs.count) to do, after \(lastAnswer)"
    }

    init(_ number: Int, in world: World) {
        self.number = number
        self.world = world
        for _ in 0..<world.random(3...8) {
            let dataset = world.random(world.datasets)
            if world.random(0...3) == 0 {
                jobs.append(.unpin(dataset: dataset))
            } else {
                jobs.append(
                    .upload(
                        dataset: dataset, isResumable: world.random(0...2) > 0,
                        copies: world.random(1...3)))
            }
        }
    }

    /// Blocks of a dataset. Neighbours have their first shards in common.
    private static func units(ofDataset number: Int) -> [Unit] {
        let count = 3 + number * 3
        return (0..<count).map { index in
            let family = index < 4 ? number / 2 : number
            var generator = SeededGenerator(seed: UInt64(family * 1000 + index))
            return generator.next()
        }
    }

    // MARK: Jobs

    func begin() {
        plan = nil
        attempts = 0
        guard let job = jobs.first else { return }
        switch job {
        case .upload: open()
        case .unpin(let dataset): unpin(Content.root(Self.units(ofDataset: dataset)))
        }
    }

    private func next() {
        jobs.removeFirst()
        question += 1
        world.after(world.random(10...6000), "next job") { [self] in begin() }
    }

    private func unpin(_ root: CID) {
        ask(world.anyAddress(), "unpin", orElse: begin, then: unpinned) { $0.unpin(root, $1) }
    }

    private func unpinned(_: Outcome) {
        next()
    }

    private func open() {
        guard case .upload(let dataset, let isResumable, let copies) = jobs.first else { return }
        attempts += 1
        guard attempts <= Self.attemptLimit else {
            return world.report("client \(number) cannot get dataset \(dataset) in")
        }
        units = Self.units(ofDataset: dataset)
        acknowledged = 0
        isOpened = false
        coordinator = world.anyAddress()
        silentCount = 0
        guard let policy = try? AllocationPolicy(replicationMin: 1, replicationMax: copies) else {
            return
        }
        plan = UploadPlan(
            id: UploadID(high: world.random.next(), low: world.random.next()),
            unitCount: units.count, policy: policy, isResumable: isResumable,
            isLengthKnown: world.random(0...1) == 0)
        openAgain()
    }

    private func openAgain() {
        guard let plan, let coordinator else { return }
        guard silentCount <= Self.silenceLimit else { return open() }
        ask(coordinator, "open", orElse: openAgain, then: heard) { $0.open(plan, $1) }
    }

    private func look() {
        guard let plan, let door else { return }
        // One request cannot be gone on with: it is sent again.
        guard plan.isResumable || silentCount <= Self.silenceLimit else { return open() }
        ask(door, "head", orElse: look, then: heard) { $0.tell(plan.id, $1) }
    }

    /// Every peer passes requests on to the one that takes the upload.
    private var door: SimulatedPeer? {
        guard plan?.isResumable == true,
            silentCount > Self.silenceLimit || world.random(0...9) == 0
        else { return coordinator }
        return world.anyAddress()
    }

    private func heard(_ answer: UploadAnswer) {
        guard let plan, let door else { return }
        lastAnswer = "\(answer)"
        switch answer {
        case .refused:
            // There may be room later; a client gives up after a while.
            guard attempts < 3 else {
                world.count(.refusedUpload)
                return next()
            }
            let goesOn = isOpened && plan.isResumable && world.random(0...1) == 0
            world.after(world.random(1000...5000), "try again") { [self] in
                guard goesOn else { return open() }
                attempts += 1
                look()
            }
        case .gone:
            world.after(world.random(100...3000), "start over") { [self] in open() }
        case .complete(let root):
            if root != Content.root(units) {
                return world.report("client \(number) was told of another root than its own")
            }
            world.checkCommitted(plan.id, root: root)
            next()
        case .offset(let offset):
            if plan.isResumable, offset < acknowledged {
                return world.report("offset \(acknowledged) was told, and now it is \(offset)")
            }
            acknowledged = max(acknowledged, offset)
            isOpened = true
            if offset == units.count {
                return ask(door, "finish", orElse: look, then: heard) {
                    $0.finish(plan.id, $1)
                }
            }
            let new = Array(units[offset...].prefix(world.random(1...5)))
            ask(door, "patch", orElse: look, then: heard) {
                $0.append(new, at: offset, to: plan.id, $1)
            }
        }
    }

    /// Asks a peer, and does something else when no answer comes.
    private func ask<Answer>(
        _ peer: SimulatedPeer, _ label: StaticString, orElse giveUp: @escaping () -> Void,
        then: @escaping (Answer) -> Void,
        _ body: @escaping (SimulatedPeer, @escaping (Answer) -> Void) -> Void
    ) {
        question += 1
        let number = question
        world.send(from: nil, to: peer, label) { [world] peer in
            body(peer) { answer in
                world.answer("answer") { [self] in
                    guard question == number else { return }
                    question += 1
                    silentCount = 0
                    then(answer)
                }
            }
        }
        world.after(Self.patience + world.random(0...1000), "no answer to a client") { [self] in
            guard question == number else { return }
            silentCount += 1
            giveUp()
        }
    }
}
