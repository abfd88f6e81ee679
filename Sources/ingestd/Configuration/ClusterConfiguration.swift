import ClusterCore
import NIOSSL

/// What makes a daemon one of several.
struct ClusterConfiguration: Sendable {
    /// Which etcd holds the log.
    enum Etcd: Sendable {
        /// One that somebody runs, at these URLs.
        case given([String], TLSConfiguration)
        /// Members that the peers run themselves.
        case managed(ClusterFile)
    }

    var secret: ClusterSecret
    var etcd: Etcd
    /// HOST:PORT for daemons and for other members, where peers run etcd.
    var etcdClientAddress: String
    var etcdPeerAddress: String
    var etcdQuotaByteCount: Int
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

    /// The file with the secret in the data directory of a peer that was made for a cluster.
    static func secretFile(in directory: String) -> String { directory + "/cluster.secret" }

    /// `nil` for a machine that is alone.
    init?(_ values: SettingValues, dataDirectory: String) throws {
        let file = try ClusterFile.load(from: dataDirectory)
        var path = values.text(.clusterSecret)
        if path.isEmpty, file != nil { path = Self.secretFile(in: dataDirectory) }
        let urls = values.text(.etcd).split(separator: ",").map { $0.filter { $0 != " " } }
        guard !path.isEmpty else {
            guard urls.isEmpty else { throw ConfigurationError.halfCluster }
            return nil
        }
        let tls = [Setting.etcdAuthority, .etcdCertificate, .etcdKey].first {
            !values.text($0).isEmpty
        }
        if let tls, urls.isEmpty || !urls.allSatisfy({ $0.hasPrefix("https://") }) {
            throw ConfigurationError.value(
                tls, given: values.text(tls),
                allowed: "nothing unless every URL of cluster.etcd begins with https://")
        }
        if !urls.isEmpty {
            etcd = .given(
                urls,
                try values.clientTLS(
                    authority: .etcdAuthority, certificate: .etcdCertificate, key: .etcdKey))
        } else if let file {
            etcd = .managed(file)
        } else {
            throw ConfigurationError.halfCluster
        }
        for address in [Setting.etcdClientListen, .etcdPeerListen] {
            _ = try values.address(address)
        }
        etcdClientAddress = values.text(.etcdClientListen)
        etcdPeerAddress = values.text(.etcdPeerListen)
        etcdQuotaByteCount = try values.byteCount(.etcdQuota) ?? 0
        guard (16 << 20...8 << 30).contains(etcdQuotaByteCount) else {
            throw ConfigurationError.value(
                .etcdQuota, given: values.text(.etcdQuota), allowed: "16MiB to 8GiB")
        }
        for url in urls where !url.hasPrefix("http://") && !url.hasPrefix("https://") {
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

    /// The name or address of this machine for others.
    func advertisedHost(machineName: String) -> String {
        if let advertised, let colon = advertised.lastIndex(of: ":") {
            return String(advertised[..<colon])
        }
        return host == "0.0.0.0" || host == "::" ? machineName : host
    }

    /// Where others reach this peer once it listens on `port`.
    func address(port: Int, machineName: String) -> String {
        if let advertised { return advertised }
        return "\(advertisedHost(machineName: machineName)):\(port)"
    }
}
