import EtcdClient
import Logging
import Multiformats
import Testing

@testable import ClusterCore

/// What a peer makes of the answers of other members, where a real etcd gives them too seldom.
@Suite(.timeLimit(.minutes(1))) struct ManagedEtcdTests {
    private static let place = "https://own:1"
    private static let range = #"{"header": {"revision": "7"}}"#
    private static let empty = #"{"header": {}}"#

    private static func list(_ members: String...) -> String {
        #"{"header": {}, "members": [\#(members.joined(separator: ", "))]}"#
    }

    private static func member(name: String, isLearner: Bool = false) -> String {
        #"{"ID": "5", "name": "\#(name)", "peerURLs": ["\#(place)"], "isLearner": \#(isLearner)}"#
    }

    /// A member that answers reads when it has a leader, and lists these members.
    private func member(
        hasLeader: Bool = true, listing members: String
    ) async throws -> CannedServer {
        try await CannedServer { path in
            switch path {
            case "/v3/kv/range":
                hasLeader
                    ? .success(Self.range) : .refusal(#"{"code": 14, "message": "no leader"}"#)
            case "/v3/cluster/member/list": .success(members)
            default: .success(Self.empty)
            }
        }
    }

    private func isGone(say others: CannedServer...) async -> Bool {
        let urls = others.map(\.url)
        return await ManagedEtcd.isGone(
            "own", Self.place, say: urls, through: EtcdClient(endpoints: urls),
            EtcdLogKeys(namespace: "test"), Logger.silent)
    }

    @Test func aMemberThatIsNotListedIsGone() async throws {
        #expect(await isGone(say: try await member(listing: Self.list())))
    }

    @Test func aMemberThatIsListedIsNotGone() async throws {
        let other = try await member(listing: Self.list(Self.member(name: "own")))
        #expect(await !isGone(say: other))
    }

    @Test func aMemberThatIsListedAtItsFormerAddressIsNotGone() async throws {
        let former = #"{"ID": "5", "name": "own", "peerURLs": ["https://former:1"]}"#
        #expect(await !isGone(say: try await member(listing: Self.list(former))))
    }

    /// It may be behind, and list who was a member before.
    @Test func whoCannotReadTheNewestStateIsNotBelieved() async throws {
        let behind = try await member(hasLeader: false, listing: Self.list())
        let current = try await member(listing: Self.list(Self.member(name: "own")))
        #expect(await !isGone(say: behind, current))
        #expect(await !isGone(say: behind))
    }

    /// An old list may have a member as one that has never started, which has voted since.
    @Test func aListFromBeforeIsNotTaken() async throws {
        let behind = try await member(
            hasLeader: false, listing: Self.list(Self.member(name: "", isLearner: true)))
        let current = try await member(listing: Self.list(Self.member(name: "own")))
        #expect(await currentMembers(by: behind, current)?.map(\.name) == ["own"])
        #expect(await currentMembers(by: behind) == nil)
    }

    private func currentMembers(by others: CannedServer...) async -> [EtcdMember]? {
        let urls = others.map(\.url)
        return await ManagedEtcd.currentMembers(
            by: urls, through: EtcdClient(endpoints: urls), EtcdLogKeys(namespace: "test"),
            Logger.silent)
    }

    /// Under its ID, others may count on entries that it has taken, and loses with its data.
    @Test func aLearnerThatNeverCameUpIsRemovedToBeginUnderAnotherID() async throws {
        let other = try await member(listing: Self.list(Self.member(name: "", isLearner: true)))
        #expect(await isGone(say: other))
        #expect(other.paths.last == "/v3/cluster/member/remove")
    }

    private func learner(at url: String) -> EtcdMember {
        EtcdMember(
            id: 5, name: "learner", peerURLs: [Self.place], clientURLs: [url], isLearner: true)
    }

    /// etcd would give it one: it goes by what the learner took while it was there.
    @Test func aLearnerThatDoesNotAnswerGetsNoVote() async throws {
        let leader = try await member(listing: Self.list())
        let client = EtcdClient(endpoints: [leader.url])
        await #expect(throws: EtcdError.self) {
            try await ManagedEtcd.take(
                .promote(learner(at: "http://127.0.0.1:9")), through: client, at: leader.url)
        }
        #expect(leader.paths.isEmpty)
    }

    @Test func aLearnerThatAnswersGetsItsVote() async throws {
        let leader = try await member(listing: Self.list())
        let learner = try await CannedServer { _ in
            .success(#"{"header": {"member_id": "5", "revision": "7"}, "leader": "1"}"#)
        }
        try await ManagedEtcd.take(
            .promote(self.learner(at: learner.url)),
            through: EtcdClient(endpoints: [leader.url]), at: leader.url)
        #expect(leader.paths == ["/v3/cluster/member/promote"])
    }
}
