import ArgumentParser
import CShims
import ClusterCore
import Foundation
import Logging
import Multiformats
import Pinset
import PosixIO

@main
struct IngestDaemon: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingestd",
        abstract: "Takes large datasets in over HTTP, in shards that are content-addressed.",
        version: Version.text,
        subcommands: [
            InitCommand.self, RunCommand.self, SecretCommand.self, StateCommand.self,
            RecoverCommand.self,
        ],
        defaultSubcommand: RunCommand.self)
}

/// Where a daemon keeps everything.
struct DataOption: ParsableArguments {
    @Option(name: .customLong("data"), help: "The data directory.")
    var directory: String = ProcessInfo.processInfo.environment["INGESTD_DATA"] ?? "./ingestd-data"

    var configurationFile: String { directory + "/ingestd.yaml" }
    var stateFile: String { DataOption.stateFile(in: directory) }

    static func stateFile(in directory: String) -> String { directory + "/state.sqlite" }
}

struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Makes a data directory with an identity and a commented configuration file.")

    @OptionGroup var data: DataOption

    @Flag(help: "Begin a cluster, whose first peer this is.")
    var cluster = false

    @Option(help: "HOST:PORT of the peer port of a member of the cluster to join.")
    var join: String?

    @Option(help: "File with the secret of that cluster. Without it, --cluster makes a new one.")
    var secretFile: String?

    func validate() throws {
        guard !(cluster && join != nil) else {
            throw ValidationError("--cluster begins a cluster, --join joins one; give one of them")
        }
        guard join == nil || secretFile != nil else {
            throw ValidationError(
                "--join needs --secret-file: copy cluster.secret from the data directory of a member"
            )
        }
        guard secretFile == nil || cluster || join != nil else {
            throw ValidationError("--secret-file goes with --cluster or --join")
        }
    }

    func run() async throws {
        let directory = data.directory
        let membership = cluster || join != nil ? try await readMembership() : nil
        try FileSystem.makeDirectory(directory, permissions: 0o700)
        guard try FileSystem.loadStatus(directory + "/" + PeerIdentity.fileName) == nil else {
            throw ValidationError(
                "\(directory) is a data directory already; choose another one, or run: "
                    + "ingestd --data \(directory)")
        }
        if try FileSystem.loadStatus(data.configurationFile) == nil {
            try FileSystem.saveFile(data.configurationFile, Array(Setting.commentedFile.utf8))
        }
        try makeStorageID(in: directory)
        if let membership {
            let path = ClusterConfiguration.secretFile(in: directory)
            try FileSystem.saveFile(
                path, Array((membership.secret.text + "\n").utf8), permissions: 0o600)
            try membership.file.save(to: directory)
            print("cluster \(membership.secret.fingerprint), secret in \(path)")
        }
        // Last: a directory with an identity is complete.
        let identity = PeerIdentity()
        try identity.save(to: directory)
        print("peer \(identity.peer)")
        print("edit \(data.configurationFile), then start: ingestd --data \(directory)")
    }
}

extension InitCommand {
    /// An `init` that was cut off has left its own; nothing has been stored under it yet.
    private func makeStorageID(in directory: String) throws {
        let isUsed = try FileSystem.loadStatus(DataOption.stateFile(in: directory)) != nil
        let known = isUsed ? nil : try? StorageID.load(from: directory)
        if known == nil { try StorageID.random().save(to: directory) }
    }

    /// The secret, and what is known of the cluster; asks the member to join through.
    private func readMembership() async throws -> (secret: ClusterSecret, file: ClusterFile) {
        let secret = try secretFile.map { try ClusterSecret.load(from: $0) } ?? .random()
        var file = ClusterFile(joins: join)
        if let join {
            let credentials = try PeerCredentials(
                secret: secret, identity: PeerIdentity(), now: Date())
            let workers = try WorkerPool(name: "join", threadCount: 1)
            defer { workers.shutDown() }
            let info = try await PeerClient(credentials: credentials, workers: workers)
                .clusterInfo(at: join)
            try info.check(cluster: secret.fingerprint, now: .wallClock())
            file.endpoints = info.endpoints
        }
        return (secret, file)
    }
}

struct SecretCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secret",
        abstract: "Prints a new secret for a cluster; keep it in a file only its owner can read.")

    func run() {
        print(ClusterSecret.random().text)
    }
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs the daemon until SIGTERM or SIGINT.")

    @OptionGroup var data: DataOption

    @Option(
        name: .customLong("config"),
        help: "Configuration file. Default: ingestd.yaml in the data directory.")
    var file: String?

    @Option(help: "Address and port of the HTTP API.")
    var listen: String?

    @Option(help: "Bytes lent to shards, such as 500GiB.")
    var capacity: String?

    @Option(help: "Free bytes of the file system that are never lent.")
    var headroom: String?

    @Option(help: "Name shown for this peer.")
    var name: String?

    @Option(help: "Failure domain of this peer.")
    var zone: String?

    @Option(help: "The machine, when several peers share one.")
    var hostTag: String?

    @Option(help: "File with the secret of the cluster this peer belongs to.")
    var clusterSecret: String?

    @Option(help: "Client URLs of the cluster's etcd, with commas.")
    var etcd: String?

    @Option(help: "Address and port of this peer's own etcd for daemons.")
    var etcdClientListen: String?

    @Option(help: "Address and port of this peer's own etcd for other members.")
    var etcdPeerListen: String?

    @Option(help: "Address and port for other peers.")
    var peerListen: String?

    @Option(help: "HOST:PORT at which other peers reach this one.")
    var advertise: String?

    @Option(help: "A peer down for longer is lost, such as 5m.")
    var gracePeriod: String?

    @Option(help: "Bytes a second spent on new copies of shards; 0 for none.")
    var repairRate: String?

    @Option(help: "Uploads taken at once.")
    var maxUploads: String?

    @Option(help: "Certificate chain in PEM.")
    var tlsCertificate: String?

    @Option(help: "Private key in PEM.")
    var tlsKey: String?

    @Option(help: "File with the bearer token.")
    var tokenFile: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel: String?

    @Flag(name: .customLong("init"), help: "Make the data directory first if there is none.")
    var makesDirectory = false

    @Flag(
        help:
            "What this peer had on its disk is lost: forget its copies and go on with what is there."
    )
    var replaceStorage = false

    func run() async throws {
        // Receive buffers of 256 KiB and blocks of 1 MiB are reused instead of mapped anew.
        cshims_tune_malloc(64 << 20, 128 << 20, 2)
        OpenFileLimit.raise()
        let identity = data.directory + "/" + PeerIdentity.fileName
        if makesDirectory, try FileSystem.loadStatus(identity) == nil {
            try await InitCommand.parse(["--data", data.directory]).run()
        }
        let configuration = try await DaemonConfiguration.load(
            dataDirectory: data.directory, flags: flags, file: file ?? data.configurationFile,
            fileIsRequired: file != nil, environment: ProcessInfo.processInfo.environment,
            machineName: ProcessInfo.processInfo.hostName)
        var log = Logger(label: "ingestd") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = configuration.logLevel
        try await Daemon(
            configuration: configuration, replacesStorage: replaceStorage, log: log
        ).run()
    }

    private var flags: [String: String] {
        let given: [(Setting, String?)] = [
            (.listen, listen), (.capacity, capacity), (.headroom, headroom), (.peerName, name),
            (.maxUploads, maxUploads), (.tlsCertificate, tlsCertificate), (.tlsKey, tlsKey),
            (.tokenFile, tokenFile), (.logLevel, logLevel), (.zone, zone), (.hostTag, hostTag),
            (.clusterSecret, clusterSecret), (.etcd, etcd), (.peerListen, peerListen),
            (.etcdClientListen, etcdClientListen), (.etcdPeerListen, etcdPeerListen),
            (.advertise, advertise), (.gracePeriod, gracePeriod), (.repairRate, repairRate),
        ]
        return given.reduce(into: [:]) { flags, pair in
            if let value = pair.1 { flags[pair.0.name] = value }
        }
    }
}

enum Version {
    static let text = "0.1.0"
}
