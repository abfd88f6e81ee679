import ArgumentParser
import ClusterCore
import Foundation
import Logging
import Pinset
import PosixIO

struct RecoverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Brings a cluster back that has lost more than half of its voters for good.",
        discussion: """
            Stop all peers first. On the peer with the newest state (ingestd state check prints the \
            applied index of each): ingestd recover --force-new-cluster, then start it. On every other \
            peer: ingestd recover --join HOST:PORT with the first one's peer port, then start it. Commands \
            that only lost peers had are lost; shards stay where they are, and those that no root of \
            the recovered state needs are removed.
            """)

    @OptionGroup var data: DataOption

    @Flag(help: "Go on from this peer's etcd, alone.")
    var forceNewCluster = false

    @Flag(
        help: """
            With --force-new-cluster: go on from what this peer has applied, with an empty etcd. For a \
            peer that had no vote, or whose etcd does not start. What only its etcd had is lost.
            """)
    var fromState = false

    @Option(help: "HOST:PORT of the peer port of the recovered peer: follow it.")
    var join: String?

    func validate() throws {
        guard forceNewCluster != (join != nil) else {
            throw ValidationError("give one of --force-new-cluster and --join HOST:PORT")
        }
        guard forceNewCluster || !fromState else {
            throw ValidationError("--from-state is for --force-new-cluster alone")
        }
    }

    func run() async throws {
        var log = Logger(label: "ingestd") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = .warning
        let lock = try DirectoryLock(data.directory)
        defer { withExtendedLifetime(lock) {} }
        let configuration = try await DaemonConfiguration.load(
            dataDirectory: data.directory, flags: [:], file: data.configurationFile,
            fileIsRequired: false, environment: ProcessInfo.processInfo.environment,
            machineName: ProcessInfo.processInfo.hostName)
        guard let settings = configuration.cluster, case .managed(var file) = settings.etcd else {
            throw ValidationError("\(data.directory) is of no cluster that runs its own etcd")
        }
        let identity = try PeerIdentity.load(from: data.directory)
        let workers = try WorkerPool(name: "recover", threadCount: 1)
        defer { workers.shutDown() }
        let cluster = try ClusterConnection(
            configuration, settings, identity: identity, workers: workers, log: log)
        guard let etcd = cluster.managed else { preconditionFailure("its etcd is managed") }
        if let join {
            let info = try await cluster.peers.clusterInfo(at: join)
            try info.check(cluster: settings.secret.fingerprint, now: .wallClock())
            file.joins = join
            file.endpoints = info.endpoints
            file.hasMember = true
            try file.save(to: data.directory)
            try etcd.settings.forget()
            // The state comes anew, from the log or from a peer; shards are found again by it.
            for suffix in ["", "-wal", "-shm"] {
                try FileSystem.removeFile(data.stateFile + suffix)
            }
            try FileSystem.removeTree(data.directory + "/snapshots")
            print("follows the peer at \(join); start: ingestd --data \(data.directory)")
        } else {
            let store = try StateStore(path: data.stateFile)
            let applied = try store.loadState().appliedIndex
            if fromState {
                print(
                    "log indexes up to \(applied) are used up in the new etcd; this may take a while"
                )
            }
            try store.setHistory(
                try await etcd.recoverAlone(
                    after: applied, startsEmpty: fromState, log: cluster.makeLog()))
            try store.close()
            print(
                "this peer goes on alone from log index \(applied); start: ingestd --data "
                    + data.directory)
        }
    }
}
