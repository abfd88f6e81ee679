import ClusterCore

/// What makes a daemon one of several.
struct ClusterConfiguration: Sendable {
    var secret: ClusterSecret
    var etcd: [String]
    var host: String
    var port: Int
    /// HOST:PORT for others; `nil` for what is listened on.
    var advertised: String?
    /// Commands the log keeps for peers that were away.
    var keptCommandCount: Int
    /// How long a peer must be down until its shards get new copies.
    var gracePeriod: Duration
    /// `nil` when this peer makes no new copies.
    var repairBytesPerSecond: Int?

    /// `nil` without a secret.
    init?(_ values: SettingValues) throws {
        let path = values.text(.clusterSecret)
        etcd = values.text(.etcd).split(separator: ",").map { $0.filter { $0 != " " } }
        guard !path.isEmpty else {
            guard etcd.isEmpty else { throw ConfigurationError.halfCluster }
            return nil
        }
        guard !etcd.isEmpty else { throw ConfigurationError.halfCluster }
        for url in etcd where !url.hasPrefix("http://") && !url.hasPrefix("https://") {
            throw ConfigurationError.value(
                .etcd, given: url, allowed: "URLs such as http://127.0.0.1:2379, with commas")
        }
        gracePeriod = try values.duration(.gracePeriod, in: .seconds(1)...(.seconds(30 * 86_400)))
        keptCommandCount = try values.integer(.keptCommands, in: 10...1_000_000)
        let rate = try values.byteCount(.repairRate) ?? 0
        repairBytesPerSecond = rate == 0 ? nil : rate
        do throws(IdentityError) {
            secret = try ClusterSecret.load(from: path)
        } catch {
            guard case .missing = error else { throw error }
            throw ConfigurationError.value(
                .clusterSecret, given: path,
                allowed: "a file that is there; ingestd secret > FILE makes one")
        }
        (host, port) = try values.address(.peerListen)
        let given = values.text(.advertise)
        if !given.isEmpty { _ = try values.address(.advertise) }
        advertised = given.isEmpty ? nil : given
    }

    /// Where others reach this peer once it listens on `port`.
    func address(port: Int, machineName: String) -> String {
        if let advertised { return advertised }
        let isAny = host == "0.0.0.0" || host == "::"
        return "\(isAny ? machineName : host):\(port)"
    }
}
