/// One thing an operator can set: in the file, in the environment or, for some, by a flag.
struct Setting: Sendable {
    /// Dotted name, as in `api.listen`.
    let name: String
    let defaultValue: String
    /// What it does, its unit and its range; one or more lines for the file.
    let help: String

    /// The part of its name before the dot.
    var section: String { String(name.prefix { $0 != "." }) }

    /// The name of its environment variable.
    var variable: String { Self.variable(of: name) }

    /// The name of the environment variable of a setting, or what those of a section begin with.
    static func variable(of name: String) -> String {
        "INGESTD_"
            + name.map { $0 == "." || $0 == "-" ? "_" : String($0).uppercased() }.joined()
    }

    static let listen = Setting(
        name: "api.listen", defaultValue: "127.0.0.1:9094",
        help: "Address and port of the HTTP API. Beyond loopback it needs TLS and a token.\n"
            + "Port 0 takes a free one; the log says which.")
    static let tlsCertificate = Setting(
        name: "api.tls-certificate", defaultValue: "",
        help: "Certificate chain in PEM. Empty: no TLS.")
    static let tlsKey = Setting(
        name: "api.tls-key", defaultValue: "", help: "Private key of the certificate in PEM.")
    static let tokenFile = Setting(
        name: "api.token-file", defaultValue: "",
        help: "File whose first line is the bearer token every request must carry,\n"
            + "except /livez and /readyz. Empty: no token.")
    static let idleTimeout = Setting(
        name: "api.idle-timeout", defaultValue: "300s",
        help: "A connection that sends nothing, or takes nothing of an answer, for this long is\n"
            + "closed.")
    static let uploadLease = Setting(
        name: "api.upload-lease", defaultValue: "168h",
        help: "Uploads that can be resumed are aborted when nothing has come for this long.")
    static let maxUploads = Setting(
        name: "api.max-uploads", defaultValue: "16",
        help:
            "Uploads taken at once, 1 to 256; more are answered 429. Each may use 10 MiB of memory."
    )
    static let peerName = Setting(
        name: "peer.name", defaultValue: "",
        help: "Name shown for this peer. Empty: the name of the machine.")
    static let zone = Setting(
        name: "peer.zone", defaultValue: "",
        help: "Failure domain of this peer, such as a room: copies go to different ones first.")
    static let hostTag = Setting(
        name: "peer.host", defaultValue: "",
        help: "The machine, when several peers share one: copies go to different ones next.")
    static let clusterSecret = Setting(
        name: "cluster.secret-file", defaultValue: "",
        help:
            "File with the 64 hexadecimal digits all peers of a cluster share (ingestd secret makes\n"
            + "them). Empty: this machine is alone.")
    static let etcd = Setting(
        name: "cluster.etcd", defaultValue: "",
        help:
            "Client URLs of the etcd that holds the cluster's log, with commas between them. Empty:\n"
            + "the peers run it (ingestd init --cluster and --join).")
    static let etcdAuthority = Setting(
        name: "cluster.etcd-authority", defaultValue: "",
        help: "Certificates in PEM that vouch for the etcd of cluster.etcd. Empty: the system's.")
    static let etcdCertificate = Setting(
        name: "cluster.etcd-certificate", defaultValue: "",
        help: "Certificate chain in PEM that is shown to the etcd of cluster.etcd. Empty: none.")
    static let etcdKey = Setting(
        name: "cluster.etcd-key", defaultValue: "", help: "Private key of that certificate in PEM.")
    static let etcdClientListen = Setting(
        name: "cluster.etcd-client-listen", defaultValue: "0.0.0.0:9097",
        help: "Address and port of this peer's own etcd for the daemons of the cluster.")
    static let etcdPeerListen = Setting(
        name: "cluster.etcd-peer-listen", defaultValue: "0.0.0.0:9098",
        help: "Address and port of this peer's own etcd for the others' etcd.")
    static let etcdQuota = Setting(
        name: "cluster.etcd-quota", defaultValue: "2GiB",
        help: "Bytes of the file of this peer's own etcd, 16MiB to 8GiB.")
    static let peerListen = Setting(
        name: "cluster.listen", defaultValue: "0.0.0.0:9096",
        help: "Address and port for other peers. Whoever does not know the secret gets no byte.")
    static let advertise = Setting(
        name: "cluster.advertise", defaultValue: "",
        help:
            "HOST:PORT at which other peers reach this one. Empty: what is listened on, with the\n"
            + "name of the machine for 0.0.0.0.")
    static let keptCommands = Setting(
        name: "cluster.kept-commands", defaultValue: "10000",
        help:
            "Commands the log keeps for peers that were away; at most 256 MiB of them. Who was away\n"
            + "for longer takes the whole state from another peer.")
    static let gracePeriod = Setting(
        name: "cluster.grace-period", defaultValue: "5m",
        help: "A peer that is down for longer is lost: its shards get new copies on others.")
    static let repairRate = Setting(
        name: "cluster.repair-rate", defaultValue: "100MiB",
        help: "Bytes a second that this peer spends on new copies of shards. 0: it makes none.")
    static let capacity = Setting(
        name: "storage.capacity", defaultValue: "",
        help:
            "Bytes lent to shards, such as 500GiB. Empty: all of the file system but the headroom.")
    static let headroom = Setting(
        name: "storage.headroom", defaultValue: "1GiB",
        help:
            "Free bytes of the file system that are never lent; at least 32 MiB are kept for the\n"
            + "daemon's own records.")
    static let logLevel = Setting(
        name: "log.level", defaultValue: "info",
        help: "trace, debug, info, notice, warning, error or critical.")

    static let all = [
        listen, tlsCertificate, tlsKey, tokenFile, idleTimeout, uploadLease, maxUploads, peerName,
        zone, hostTag,
        clusterSecret, etcd, etcdAuthority, etcdCertificate, etcdKey, etcdClientListen,
        etcdPeerListen, etcdQuota, peerListen, advertise,
        keptCommands, gracePeriod, repairRate, capacity,
        headroom,
        logLevel,
    ]

    /// The configuration file that `init` writes: every setting with its default, and what it does.
    static var commentedFile: String {
        var text = """
            # Configuration of ingestd. Every setting is shown with its default.
            # A flag beats the environment (INGESTD_API_LISTEN for api.listen), which beats this file.

            """
        var section = ""
        for setting in all {
            if setting.section != section {
                section = setting.section
                text += "\n\(section):\n"
            }
            for line in setting.help.split(separator: "\n") { text += "  # \(line)\n" }
            let value = setting.defaultValue.isEmpty ? "\"\"" : setting.defaultValue
            text += "  \(setting.name.dropFirst(section.count + 1)): \(value)\n"
        }
        return text
    }
}
