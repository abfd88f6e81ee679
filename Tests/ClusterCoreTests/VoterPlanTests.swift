import EtcdClient
import Multiformats
import SeededRandom
import Testing

@testable import ClusterCore

/// Who votes, one step after the other, over an etcd that is a list.
@Suite struct VoterPlanTests {
    /// What etcd and the cluster are, as the plan sees them; steps change it as etcd would.
    private struct World {
        var members: [EtcdMember] = []
        var candidates: [VoterCandidate] = []
        var nextID: UInt64 = 2
        /// The member that leads.
        var own: UInt64 = 1

        /// A founder whose member leads, and others that run none yet.
        init(peers: Int) throws {
            for number in 1...peers { try join(UInt8(number)) }
            members = [Self.member(1, of: candidates[0], isLearner: false)]
        }

        static func member(
            _ id: UInt64, of candidate: VoterCandidate, isLearner: Bool
        ) -> EtcdMember {
            EtcdMember(
                id: id, name: candidate.peer.description, peerURLs: [candidate.peerURL],
                clientURLs: [], isLearner: isLearner)
        }

        mutating func join(_ number: UInt8) throws {
            candidates.append(
                VoterCandidate(
                    peer: try Sample.peer(number), peerURL: "https://peer\(number)", isUp: true))
        }

        mutating func leave(_ number: Int) throws {
            let peer = try Sample.peer(UInt8(number))
            candidates.removeAll { $0.peer == peer }
        }

        mutating func setUp(_ number: Int, _ isUp: Bool) throws {
            let peer = try Sample.peer(UInt8(number))
            for index in candidates.indices where candidates[index].peer == peer {
                candidates[index].isUp = isUp
            }
        }

        var next: VoterStep? {
            VoterPlan.next(members: members, candidates: candidates, own: own)
        }

        mutating func perform(_ step: VoterStep) {
            switch step {
            case .addLearner(let candidate):
                members.append(Self.member(nextID, of: candidate, isLearner: true))
                nextID += 1
            case .promote(let member):
                for index in members.indices where members[index].id == member.id {
                    members[index].isLearner = false
                }
            case .remove(let member): members.removeAll { $0.id == member.id }
            case .handOver(let member): own = member.id
            }
        }

        /// Steps until there is none, with the number of voters after each.
        mutating func settle() throws -> [Int] {
            var counts: [Int] = []
            while let step = next {
                perform(step)
                counts.append(voterCount)
                try #require(counts.count < 50, "it does not end")
                #expect(members.count(where: \.isLearner) <= 1)
                #expect(members.contains { $0.id == own }, "who decides removed itself")
            }
            return counts
        }

        var voterCount: Int { members.count { !$0.isLearner } }
    }

    /// Its member has votes under the old address, and would never come up under the new one.
    @Test func aSoleVoterWhoseAddressChangedIsNotAddedAgain() throws {
        var world = try World(peers: 3)
        world.candidates[0].peerURL = "https://elsewhere"
        #expect(world.next == .addLearner(world.candidates[1]))
    }

    @Test(arguments: [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (9, 5)])
    func votersAreOneThreeOrFive(peers: Int, voters: Int) throws {
        var world = try World(peers: peers)
        _ = try world.settle()
        #expect(world.voterCount == voters)
    }

    @Test func twoVotersAreLeftAtOnce() throws {
        var world = try World(peers: 3)
        // Learner, voter, learner, voter.
        #expect(try world.settle() == [1, 2, 2, 3])
    }

    @Test func aSecondPeerGetsNoVoteWhileTheThirdIsDown() throws {
        var world = try World(peers: 3)
        try world.setUp(3, false)
        #expect(try world.settle() == [])
        try world.setUp(3, true)
        #expect(try world.settle().last == 3)
    }

    @Test func aLearnerThatGoesMakesRoomForAnother() throws {
        var world = try World(peers: 4)
        let first = try #require(world.next)
        world.perform(first)
        guard case .addLearner(let candidate) = first else {
            Issue.record("\(first)")
            return
        }
        let index = try #require(world.candidates.firstIndex(of: candidate))
        world.candidates[index].isUp = false
        _ = try world.settle()
        #expect(world.voterCount == 3)
        #expect(!world.members.contains { $0.peerURLs == [candidate.peerURL] })
    }

    @Test func aVoterThatIsDownKeepsItsVoteUntilItIsRemoved() throws {
        var world = try World(peers: 4)
        _ = try world.settle()
        let voter = world.members[1].name
        var number = 1
        while try Sample.peer(UInt8(number)).description != voter { number += 1 }
        try world.setUp(number, false)
        #expect(try world.settle() == [])
        try world.leave(number)
        // Removed, and the one without a vote in its place.
        #expect(try world.settle() == [2, 2, 3])
    }

    @Test func whenPeersAreRemovedTheRestIsOddAgain() throws {
        var world = try World(peers: 3)
        _ = try world.settle()
        try world.leave(3)
        #expect(try world.settle() == [2, 1])
    }

    @Test(arguments: [(2, 1), (3, 1), (4, 3), (6, 5)])
    func whoDecidesAndLeavesIsRemovedByTheOneItHasLead(peers: Int, voters: Int) throws {
        var world = try World(peers: peers)
        _ = try world.settle()
        try world.leave(1)
        _ = try world.settle()
        #expect(!world.members.contains { $0.id == 1 })
        #expect(world.voterCount == voters)
        #expect(world.voterCount == world.members.count)
    }

    @Test func oneThatDoesNotAnswerOrIsDrainedLeadsOnlyWhereNobodyElseCan() throws {
        var world = try World(peers: 3)
        _ = try world.settle()
        try world.leave(1)
        let heirs = world.members.filter { $0.id != 1 }
        func heir(passing passed: Set<UInt64>) -> VoterStep? {
            VoterPlan.next(
                members: world.members, candidates: world.candidates, own: 1, passing: passed)
        }
        #expect(heir(passing: []) == .handOver(heirs[0]))
        #expect(heir(passing: [heirs[0].id]) == .handOver(heirs[1]))
        for index in world.candidates.indices
        where heirs[0].peerURLs.contains(world.candidates[index].peerURL) {
            world.candidates[index].isUp = false
        }
        #expect(heir(passing: []) == .handOver(heirs[1]))
        #expect(heir(passing: [heirs[1].id]) == .handOver(heirs[0]))
    }

    /// A voter may go only where the rest has a quorum: with one down, that one has to go first.
    @Test func aStrayThatIsStillNeededHindersNoOtherStep() throws {
        var world = try World(peers: 3)
        _ = try world.settle()
        let leaving = try #require(world.members.first { $0.id == 2 })
        world.candidates.removeAll { leaving.peerURLs.contains($0.peerURL) }
        let dead = try #require(world.candidates.last)
        world.candidates[1].isUp = false
        #expect(world.next == .remove(leaving))
        let other = VoterPlan.next(
            members: world.members, candidates: world.candidates, own: 1, passing: [2])
        let member = world.members.first { $0.peerURLs.contains(dead.peerURL) }
        #expect(other == member.map(VoterStep.remove))
    }

    @Test func everyOrderOfJoiningAndLeavingEndsWell() throws {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<300 {
            var world = try World(peers: 1)
            var present: Set<UInt8> = [1]
            for _ in 0..<20 {
                let number = UInt8(1 + random.next() % 7)
                switch random.next() % 4 {
                case 0 where !present.contains(number):
                    try world.join(number)
                    present.insert(number)
                case 1 where present.contains(number) && present.count > 1:
                    try world.leave(Int(number))
                    present.remove(number)
                case 2: try world.setUp(Int(number), random.next().isMultiple(of: 2))
                default: if let step = world.next { world.perform(step) }
                }
            }
            for number in present { try world.setUp(Int(number), true) }
            _ = try world.settle()
            #expect(world.voterCount == VoterPlan.wantedCount(candidates: present.count))
            #expect(world.voterCount == world.members.count)
        }
    }
}
