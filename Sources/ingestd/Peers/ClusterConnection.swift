import AsyncHTTPClient
import ClusterCore
import EtcdClient
import Foundation
import Logging
import NIOSSL
import PosixIO
import ServiceLifecycle

/// What makes a daemon one of several: its credentials, and its ways to other peers and to their log.
struct ClusterConnection: Sendable {
    let settings: ClusterConfiguration
    let credentials: PeerCredentials
    let peers: PeerClient
    let etcd: EtcdClient
    /// `nil` where somebody else runs etcd.
    let managed: ManagedEtcd?
    private let process = ProcessNonce()

    private var namespace: String { "ingestd-" + settings.secret.fingerprint }

    init(
        _ configuration: DaemonConfiguration, _ settings: ClusterConfiguration,
        identity: PeerIdentity, workers: WorkerPool, log: Logger
    ) throws {
        self.settings = settings
        let host = settings.advertisedHost(machineName: configuration.machineName)
        credentials = try PeerCredentials(
            secret: settings.secret, identity: identity,
            addresses: [host, "127.0.0.1", "localhost"], now: Date())
        peers = PeerClient(credentials: credentials, workers: workers)
        let file: ClusterFile
        switch settings.etcd {
        case .given(let endpoints, let tls):
            etcd = EtcdClient(endpoints: endpoints, settings: Self.etcdConnections(tls))
            managed = nil
            return
        case .managed(let made): file = made
        }
        etcd = EtcdClient(
            endpoints: [], settings: Self.etcdConnections(credentials.clientConfiguration))
        managed = ManagedEtcd(
            settings: EtcdSettings(
                dataDirectory: configuration.dataDirectory, peer: identity.peer,
                token: settings.secret.fingerprint, clientAddress: settings.etcdClientAddress,
                memberAddress: settings.etcdPeerAddress, advertisedHost: host,
                quotaByteCount: settings.etcdQuotaByteCount, credentials: credentials),
            file: file, client: etcd, namespace: "ingestd-" + settings.secret.fingerprint,
            peerClient: peers, cluster: settings.secret.fingerprint, process: process, log: log)
    }

    /// A member that lost power says nothing more.
    private static func etcdConnections(_ tls: TLSConfiguration) -> HTTPClient.Configuration {
        var settings = HTTPClient.Configuration(tlsConfiguration: tls)
        settings.http1_1ConnectionDebugInitializer = ConnectionSilence.notice
        return settings
    }

    func makeLog() -> EtcdLog { EtcdLog(client: etcd, namespace: namespace, process: process) }

    /// For who wants to join.
    var info: ClusterInfo {
        ClusterInfo(
            cluster: settings.secret.fingerprint, endpoints: etcd.endpoints,
            isManaged: managed != nil)
    }
}

/// The etcd of this peer. The group stops it last: all others end with words to it.
struct EtcdService: Service {
    let etcd: ManagedEtcd
    let peer: LocalPeer

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            do {
                try await etcd.run {
                    // Without a state nobody is known.
                    let others = try? await peer.driver.read { [id = peer.id] state in
                        state.members.filter { $0.peer != id }.flatMap(\.addresses)
                    }
                    return others ?? []
                }
            } catch is CancellationError {}
        }
    }
}
