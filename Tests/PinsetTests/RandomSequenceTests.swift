import Multiformats
import ShardPlanner
import Testing

@testable import Pinset

/// The state's laws over seeded sequences of commands.
struct RandomSequenceTests {
    private struct RowKeyPair: Hashable {
        var table: StateTable
        var key: [UInt8]
    }

    @Test(arguments: 0..<16 as Range<UInt64>)
    func lawsHoldAfterEveryCommand(seed: UInt64) throws {
        var commands = RandomCommands(seed: seed)
        var cluster = TestCluster(state: PinsetState(rememberedRequestLimit: 100))
        cluster.join(["a", "b", "c", "d"], capacity: 2000)
        var disk: [RowKeyPair: StateRow] = [:]
        save(cluster.state.drainChanges(), to: &disk)
        var history: [(request: RequestID, command: Command, outcome: Outcome)] = []

        for step in 0..<300 {
            let before = cluster.state.members
            if !history.isEmpty, commands.chance(10) {
                let past = history[commands.number(0...(history.count - 1))]
                checkRetry(of: past, in: &cluster, "seed \(seed) step \(step)")
                let changes = cluster.state.drainChanges()
                #expect(onlyMemory(changes), "seed \(seed) step \(step)")
                save(changes, to: &disk)
                continue
            }
            let command = commands.next(for: cluster)
            #expect(try Command(decoding: command.encoded) == command)
            let request = cluster.requestID()
            let outcome = cluster.run(command, as: request)
            history.append((request, command, outcome))
            let findings = cluster.state.checkInvariants()
            guard findings.isEmpty else {
                Issue.record("seed \(seed) step \(step) \(command): \(findings)")
                return
            }
            checkCapacities(before, cluster.state, "seed \(seed) step \(step) \(command)")
            let changes = cluster.state.drainChanges()
            if outcome.refusal != nil {
                #expect(onlyMemory(changes) && cluster.effects.isEmpty, "a refusal changes nothing")
            }
            save(changes, to: &disk)
            if step.isMultiple(of: 40) { try checkRestored(disk, cluster.state) }
        }
        try checkRestored(disk, cluster.state)
        checkAllEnds(&cluster)
    }

    /// A request that was applied before changes nothing and gets its first answer, or, when the
    /// state has forgotten it, a refusal that says so.
    private func checkRetry(
        of past: (request: RequestID, command: Command, outcome: Outcome),
        in cluster: inout TestCluster, _ context: String
    ) {
        let again = cluster.run(past.command, as: past.request)
        if case .refused(.requestTooOld) = again {
            #expect(past.request.proposerIndex < cluster.state.requests.forgottenThrough)
        } else {
            #expect(again == past.outcome, "\(context)")
        }
        #expect(cluster.effects.isEmpty)
    }

    /// No command raises what a peer uses and has promised above its capacity.
    private func checkCapacities(
        _ before: [PeerRecord], _ after: PinsetState, _ context: String
    ) {
        for member in after.members {
            let former = before.first { $0.peer == member.peer }
            let occupied = member.usedByteCount + member.reservedByteCount
            let formerly = (former?.usedByteCount ?? 0) + (former?.reservedByteCount ?? 0)
            #expect(occupied <= max(formerly, member.capacityByteCount), "\(context)")
        }
    }

    private func checkRestored(_ disk: [RowKeyPair: StateRow], _ state: PinsetState) throws {
        let restored = try PinsetState(rows: disk.values)
        #expect(restored.digest() == state.digest(), "saved changes add up to the state")
        #expect(restored.checkInvariants() == [])
        var lines: [[UInt8]] = []
        StateSnapshot.write(state) { lines.append($0) }
        #expect(try StateSnapshot.read(lines).digest() == state.digest())
    }

    /// Nothing stays reserved, used or remembered as dropped when everything has ended.
    private func checkAllEnds(_ cluster: inout TestCluster) {
        for upload in cluster.state.allOpenUploads {
            cluster.run(.abortUpload(upload.id, reason: "end"))
        }
        for root in cluster.state.allRoots { cluster.run(.unpin(root.root)) }
        cluster.confirmAllDrops()
        cluster.run(.forgetEndedUploads(endedBefore: LogTime(millisecondsSinceEpoch: .max)))
        #expect(cluster.state.shardCount == 0)
        #expect(cluster.state.checkInvariants() == [])
        for member in cluster.state.members {
            #expect(member.usedByteCount == 0 && member.reservedByteCount == 0)
        }
        let rememberedDrops = cluster.state.drops.values.reduce(0) { $0 + $1.count }
        #expect(rememberedDrops == 0)
        #expect(cluster.state.manifests.isEmpty && cluster.state.uploads.isEmpty)
    }

    private func save(_ changes: [RowChange], to disk: inout [RowKeyPair: StateRow]) {
        for change in changes {
            switch change {
            case .upsert(let row): disk[RowKeyPair(table: row.table, key: row.key)] = row
            case .delete(let table, let key): disk[RowKeyPair(table: table, key: key)] = nil
            }
        }
    }

    /// Whether nothing changed but the applied index and the memory of requests.
    private func onlyMemory(_ changes: [RowChange]) -> Bool {
        changes.allSatisfy { change in
            switch change {
            case .upsert(let row): row.table == .header || row.table == .request
            case .delete(let table, _): table == .request
            }
        }
    }

    @Test func theSequencesReachNearlyEveryOutcome() {
        var reached: Set<String> = []
        for seed in 0..<16 as Range<UInt64> {
            var commands = RandomCommands(seed: seed)
            var cluster = TestCluster()
            cluster.join(["a", "b", "c", "d"], capacity: 2000)
            for _ in 0..<400 {
                let outcome = cluster.run(commands.next(for: cluster))
                let text = String(describing: outcome.refusal.map { "\($0.wireItems[0])" } ?? "")
                reached.insert(String(describing: outcome).prefix { $0 != "(" } + text)
            }
        }
        #expect(reached.isSuperset(of: ["done", "reserved", "sealed", "committed", "unpinned"]))
        #expect(reached.count { $0.hasPrefix("refused") } >= 20, "\(reached.sorted())")
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func oneLogGivesOneState(seed: UInt64) throws {
        var commands = RandomCommands(seed: seed)
        var cluster = TestCluster()
        cluster.join(["a", "b", "c"], capacity: 2000)
        var log: [(RequestID, Command)] = []
        var middle = cluster.state
        for step in 0..<300 {
            let command = commands.next(for: cluster)
            log.append((cluster.requestID(), command))
            cluster.run(command, as: log[log.count - 1].0)
            if step == 149 { middle = cluster.state }
        }
        var rows: [StateRow] = []
        middle.forEachRow { rows.append($0) }
        var replayed = TestCluster(state: try PinsetState(rows: rows.reversed()))
        for (request, command) in log.dropFirst(150) { replayed.run(command, as: request) }
        #expect(replayed.state.digest() == cluster.state.digest())
    }
}
