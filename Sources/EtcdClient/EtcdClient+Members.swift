import Foundation

/// A member as all members list it.
package struct EtcdMember: Equatable, Sendable {
    package var id: UInt64
    /// Empty until it has started for the first time.
    package var name: String
    package var peerURLs: [String]
    package var clientURLs: [String]
    /// It follows the log and has no vote yet.
    package var isLearner: Bool

    package init(
        id: UInt64, name: String, peerURLs: [String], clientURLs: [String], isLearner: Bool
    ) {
        self.id = id
        self.name = name
        self.peerURLs = peerURLs
        self.clientURLs = clientURLs
        self.isLearner = isLearner
    }
}

/// What a member says of itself.
package struct EtcdStatus: Equatable, Sendable {
    package var memberID: UInt64
    /// 0 while it knows none.
    package var leader: UInt64
    package var revision: UInt64
    package var fileByteCount: Int
    package var usedByteCount: Int
    package var isLearner: Bool
}

/// Who votes, and how full the members are.
extension EtcdClient {
    /// - Parameter member: The base URL of the one to ask; `nil` for any.
    package func listMembers(
        at member: String? = nil, timeout: Duration = .seconds(2)
    ) async throws -> [EtcdMember] {
        let answer: MembersAnswer = try await call(
            "/v3/cluster/member/list", EmptyMessage(), timeout: timeout, at: member)
        return try answer.members.map { try $0.member() }
    }

    /// Adds a member without a vote.
    package func addLearner(peerURL: String, timeout: Duration = .seconds(5)) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/cluster/member/add", NewMemberMessage(peerURLs: [peerURL]), timeout: timeout)
    }

    /// Gives a learner its vote; refused until it has followed far enough.
    package func promote(_ member: UInt64, timeout: Duration = .seconds(5)) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/cluster/member/promote", MemberMessage(member), timeout: timeout)
    }

    /// - Parameter asked: The base URL of the one to ask: whether a member is there, it judges by its own
    ///   connections; `nil` for any.
    package func remove(
        _ member: UInt64, at asked: String? = nil, timeout: Duration = .seconds(5)
    ) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/cluster/member/remove", MemberMessage(member), timeout: timeout, at: asked)
    }

    /// Has another member lead.
    ///
    /// - Parameter leader: The base URL of the one that leads.
    package func lead(
        by member: UInt64, at leader: String, timeout: Duration = .seconds(5)
    ) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/maintenance/transfer-leadership", LeaderMessage(targetID: String(member)),
            timeout: timeout, at: leader)
    }

    /// Asks one member about itself.
    package func status(
        of member: String, timeout: Duration = .seconds(2)
    ) async throws -> EtcdStatus {
        let answer: StatusAnswer = try await call(
            "/v3/maintenance/status", EmptyMessage(), timeout: timeout, at: member)
        return try answer.status()
    }

    /// Gives the file system back what a member no longer uses. The member answers nothing meanwhile.
    package func defragment(
        _ member: String, timeout: Duration = .seconds(60)
    ) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/maintenance/defragment", EmptyMessage(), timeout: timeout, at: member)
    }

    /// Members that take no more writes because their quota is used up.
    package func membersWithoutSpace(timeout: Duration = .seconds(2)) async throws -> [UInt64] {
        let answer: AlarmsAnswer = try await call(
            "/v3/maintenance/alarm", AlarmMessage(action: "GET", memberID: nil, alarm: nil),
            timeout: timeout)
        return try (answer.alarms ?? []).filter { $0.alarm == AlarmMessage.noSpace }
            .map { try number($0.memberID) }
    }

    /// Lets a member take writes again; etcd says so anew if there is still no room.
    package func clearAlarm(
        of member: UInt64, timeout: Duration = .seconds(2)
    ) async throws {
        let _: EmptyAnswer = try await call(
            "/v3/maintenance/alarm",
            AlarmMessage(
                action: "DEACTIVATE", memberID: String(member), alarm: AlarmMessage.noSpace),
            timeout: timeout)
    }
}

// MARK: - Messages

private struct EmptyMessage: Encodable {}

private struct NewMemberMessage: Encodable {
    var peerURLs: [String]
    var isLearner = true
}

private struct MemberMessage: Encodable {
    var id: String

    init(_ id: UInt64) { self.id = String(id) }

    enum CodingKeys: String, CodingKey {
        case id = "ID"
    }
}

private struct LeaderMessage: Encodable {
    var targetID: String
}

private struct AlarmMessage: Encodable {
    static let noSpace = "NOSPACE"

    var action: String
    var memberID: String?
    var alarm: String?
}

private struct AlarmsAnswer: Decodable {
    struct Alarm: Decodable {
        var memberID: String?
        var alarm: String?
    }

    var alarms: [Alarm]?
}

private struct MembersAnswer: Decodable {
    struct Member: Decodable {
        var id: String?
        var name: String?
        var peerURLs: [String]?
        var clientURLs: [String]?
        var isLearner: Bool?

        enum CodingKeys: String, CodingKey {
            case id = "ID"
            case name, peerURLs, clientURLs, isLearner
        }

        func member() throws -> EtcdMember {
            EtcdMember(
                id: try number(id), name: name ?? "", peerURLs: peerURLs ?? [],
                clientURLs: clientURLs ?? [], isLearner: isLearner ?? false)
        }
    }

    var members: [Member]
}

private struct StatusAnswer: Decodable {
    var header: HeaderAnswer
    var leader: String?
    var dbSize: String?
    var dbSizeInUse: String?
    var isLearner: Bool?

    func status() throws -> EtcdStatus {
        EtcdStatus(
            memberID: try number(header.memberId), leader: try number(leader),
            revision: try number(header.revision), fileByteCount: Int(try number(dbSize)),
            usedByteCount: Int(try number(dbSizeInUse)), isLearner: isLearner ?? false)
    }
}
