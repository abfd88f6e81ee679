import Pinset

/// What a peer tells who wants to join.
package struct ClusterInfo: Codable, Sendable {
    /// The fingerprint of the cluster's secret.
    package var cluster: String
    /// The newest format of commands and state that peers of the cluster write.
    package var stateFormat: UInt64
    /// The peer's clock, in milliseconds.
    package var time: UInt64
    /// Client URLs of etcd's voters.
    package var endpoints: [String]
    /// Peers run these members themselves.
    package var isManaged: Bool

    package init(cluster: String, endpoints: [String], isManaged: Bool) {
        self.cluster = cluster
        stateFormat = PinsetState.formatVersion
        time = LogTime.wallClock().millisecondsSinceEpoch
        self.endpoints = endpoints
        self.isManaged = isManaged
    }

    enum CodingKeys: String, CodingKey {
        case cluster, time, endpoints
        case stateFormat = "state_format"
        case isManaged = "managed"
    }

    /// Clocks may differ by so much; log times and certificates are read with this in mind.
    private static let clockTolerance: UInt64 = 60_000

    /// Refuses what would go wrong later.
    package func check(cluster own: String, now: LogTime) throws(JoinError) {
        guard cluster == own else { throw .foreignCluster(found: cluster, expected: own) }
        guard isManaged else { throw .notManaged }
        guard stateFormat >= PinsetState.formatVersion else {
            throw .tooNew(own: PinsetState.formatVersion, cluster: stateFormat)
        }
        guard stateFormat <= PinsetState.formatVersion else {
            throw .tooOld(own: PinsetState.formatVersion, cluster: stateFormat)
        }
        let own = now.millisecondsSinceEpoch
        let difference = max(own, time) - min(own, time)
        guard difference <= Self.clockTolerance else {
            throw .clock(seconds: Int(difference / 1000), isAhead: own > time)
        }
    }
}

/// Why a peer does not join.
package enum JoinError: Error, Equatable, CustomStringConvertible {
    case foreignCluster(found: String, expected: String)
    case notManaged
    case tooNew(own: UInt64, cluster: UInt64)
    case tooOld(own: UInt64, cluster: UInt64)
    case clock(seconds: Int, isAhead: Bool)

    package var description: String {
        switch self {
        case .foreignCluster(let found, let expected):
            "that peer belongs to cluster \(found), the secret here is that of cluster \(expected)"
        case .notManaged:
            """
            that cluster uses an etcd which its peers do not run: name it with cluster.etcd, and the \
            secret with cluster.secret-file
            """
        case .tooNew(let own, let cluster):
            """
            this program writes format \(own) and the cluster knows formats up to \(cluster); upgrade \
            its peers first
            """
        case .tooOld(let own, let cluster):
            """
            the cluster writes format \(cluster) and this program knows formats up to \(own); upgrade it
            """
        case .clock(let seconds, let isAhead):
            """
            the clock of this machine is \(seconds) s \(isAhead ? "ahead of" : "behind") the cluster's; \
            set it right (timedatectl set-ntp true) and try again
            """
        }
    }
}
