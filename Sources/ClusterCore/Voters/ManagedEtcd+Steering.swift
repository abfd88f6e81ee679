import EtcdClient
import Foundation
import Logging
import Multiformats
import Pinset

/// One peer decides who votes: the one whose member leads. Each look is from the beginning, so nothing is
/// lost with a peer that dies half-way.
extension ManagedEtcd {
    private static let steeringInterval = Duration.seconds(2)
    /// Of as many looks that fail in a row, one is told of.
    private static let toldFailureCount = 15
    /// A member's file is made anew when it has this many bytes, and more than half of them for nothing.
    private static let looseByteCount = 128 << 20

    /// Says that this peer can have a vote, and decides when its member leads, until the task is cancelled.
    package func steer(by driver: PinsetDriver) async throws {
        try await steer(by: driver, isLeaving: false)
    }

    /// Gives up this peer's vote after it was removed from the cluster. Until the others can agree without
    /// it, its member votes on, and where it leads, this peer goes on deciding who votes.
    package func leave(by driver: PinsetDriver) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.steer(by: driver, isLeaving: true) }
            group.addTask { try await self.waitUntilGone() }
            try await group.next()
            group.cancelAll()
        }
    }

    private func waitUntilGone() async throws {
        var lookCount = 0
        // The others may have lost their quorum since, and say nothing.
        while try settings.hasData, !isRemoved.withLock(\.self), !(await isGone()) {
            if lookCount.isMultiple(of: Self.toldFailureCount) {
                log.log(
                    level: lookCount == 0 ? .notice : .warning,
                    """
                    this peer was removed from the cluster, but votes on until the others can agree \
                    without it; start those that are down, or remove them too. Started again, it \
                    would join again
                    """)
            }
            lookCount += 1
            try await Task.sleep(for: Self.interval)
        }
    }

    private func steer(by driver: PinsetDriver, isLeaving: Bool) async throws {
        var isKnown = isLeaving
        var failureCount = 0
        func note(_ error: any Error) {
            failureCount += 1
            // An election or a learner that has to catch up takes a moment; what takes longer is told.
            let level: Logger.Level =
                failureCount.isMultiple(of: Self.toldFailureCount) ? .warning : .debug
            log.log(level: level, "nothing decided on voters", metadata: ["error": "\(error)"])
        }
        while true {
            do {
                if !isKnown {
                    try await announce()
                    isKnown = true
                }
                if let member = try await leadingMember(),
                    let step = try await nextStep(by: driver, own: member)
                {
                    // A member writes down what is committed with what comes next: killed before, it
                    // would not know of its vote. Also where the answer is lost.
                    if case .promote = step { isKnown = false }
                    try await Self.take(step, through: client, at: settings.clientURL)
                    log.notice("changed who votes", metadata: ["step": "\(step)"])
                    if !isKnown { continue }
                }
                failureCount = 0
            } catch let error as EtcdError {
                note(error)
            } catch let error as LogError where error.isPassing {
                note(error)
            }
            try await Task.sleep(for: Self.steeringInterval)
        }
    }

    /// Keeps room in etcd while this peer's member leads, until the task is cancelled. Without room no
    /// peer can start, so this waits for none to be ready.
    func keepRoom() async throws {
        while true {
            do {
                if try await leadingMember() != nil { try await careForSpace() }
            } catch let error as EtcdError {
                log.debug("etcd's space was not looked at", metadata: ["error": "\(error)"])
            }
            try await Task.sleep(for: Self.steeringInterval)
        }
    }

    /// This peer's member, if it leads.
    private func leadingMember() async throws -> UInt64? {
        let status = try await client.status(of: settings.clientURL)
        return status.leader == status.memberID && !status.isLearner ? status.memberID : nil
    }

    private func announce() async throws {
        let own = keys.voters + Array(settings.name.utf8)
        let place = Array(settings.memberURL.utf8)
        _ = try await client.transact(if: [], then: [.put(own, value: place)])
    }

    private func nextStep(
        by driver: PinsetDriver, own: UInt64
    ) async throws -> VoterStep? {
        let members = try await client.listMembers(at: settings.clientURL)
        let found = try await client.range(EtcdRange(.beginning(keys.voters)))
        // The keys first: who has one was a member before.
        let records = try await driver.read(.linearizable) { $0.members }
        var candidates: [VoterCandidate] = []
        for keyValue in found.keyValues {
            let name = String(decoding: keyValue.key.dropFirst(keys.voters.count), as: UTF8.self)
            guard let record = records.first(where: { $0.peer.description == name }) else {
                // It was removed from the cluster. Unless it has come back meanwhile, so is its key.
                _ = try await client.transact(
                    if: [.isUnchanged(keyValue.key, since: keyValue.modRevision)],
                    then: [.delete(keyValue.key)])
                continue
            }
            candidates.append(
                VoterCandidate(
                    peer: record.peer, peerURL: String(decoding: keyValue.value, as: UTF8.self),
                    isUp: record.status == .up && !record.isDraining))
        }
        var passed: Set<UInt64> = []
        while let step = VoterPlan.next(
            members: members, candidates: candidates, own: own, passing: passed)
        {
            let concerned: EtcdMember
            let isPossible: Bool
            switch step {
            case .addLearner, .promote: return step
            case .handOver(let member):
                concerned = member
                isPossible = await answers(member)
            case .remove(let member):
                concerned = member
                isPossible = await canAgree(members, without: member)
            }
            if isPossible { return step }
            // What comes after it may be what the others need first.
            passed.insert(concerned.id)
        }
        return nil
    }

    /// Whether those with a vote would still have a quorum. etcd itself asks for that only where it believes
    /// the one to go to be there.
    private func canAgree(_ members: [EtcdMember], without gone: EtcdMember) async -> Bool {
        guard !gone.isLearner else { return true }
        let voters = members.filter { !$0.isLearner && $0.id != gone.id }
        var answerCount = 0
        for voter in voters where await answers(voter) { answerCount += 1 }
        return answerCount * 2 > voters.count
    }

    /// Whether a member is there, and knows who leads.
    private func answers(_ member: EtcdMember) async -> Bool {
        guard let url = member.clientURLs.first else { return false }
        do {
            return try await client.status(of: url).leader != 0
        } catch {
            log.debug("a member does not answer", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// - Throws: `EtcdError` also when a member that was to get a vote does not answer.
    ///
    /// - Parameter leader: The base URL of the member that decides.
    static func take(
        _ step: VoterStep, through client: EtcdClient, at leader: String
    ) async throws {
        switch step {
        case .addLearner(let candidate): try await client.addLearner(peerURL: candidate.peerURL)
        case .promote(let member):
            // etcd goes by what a learner has taken, also when it has gone since.
            guard let url = member.clientURLs.first else {
                throw EtcdError.unreachable(cause: "\(member.name) has not come up yet")
            }
            _ = try await client.status(of: url)
            try await client.promote(member.id)
        case .remove(let member): try await client.remove(member.id, at: leader)
        case .handOver(let member): try await client.lead(by: member.id, at: leader)
        }
    }

    /// One member at a time: it answers nothing while its file is made anew.
    private func careForSpace() async throws {
        let members = try await client.listMembers(at: settings.clientURL)
        let full = Set(try await client.membersWithoutSpace())
        if !full.isEmpty {
            let revision = try await client.status(of: settings.clientURL).revision
            log.error("etcd has used up its quota; it is compacted and made anew")
            do {
                try await client.compact(through: revision)
            } catch EtcdError.refused {
                // It was compacted up to there already.
            }
        }
        for url in members.compactMap(\.clientURLs.first) {
            do {
                let status = try await client.status(of: url)
                let isLoose =
                    status.fileByteCount > Self.looseByteCount
                    && status.usedByteCount < status.fileByteCount / 2
                guard isLoose || !full.isEmpty else { continue }
                log.notice("defragmenting etcd", metadata: ["member": "\(url)"])
                try await client.defragment(url)
            } catch let error as EtcdError {
                // The others need it no less.
                log.debug("a member does not answer", metadata: ["error": "\(error)"])
            }
        }
        for member in full { try await client.clearAlarm(of: member) }
    }
}
