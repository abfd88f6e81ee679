import ClusterCore
import Foundation
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import ImportPipeline
import Logging
import Multiformats
import NIOCore
import NIOSSL
import Pinset
import PosixIO
import ServiceLifecycle
import Spill

/// Puts the parts together and runs them until the process is told to stop.
struct Daemon: Sendable {
    /// Write segments and input slabs beyond what each upload owns; 2 MiB each.
    private static let spareBufferCount = 12

    /// How long requests under way may go on after the daemon is told to stop.
    private static let shutdownPatience = Duration.seconds(60)

    let configuration: DaemonConfiguration
    let log: Logger
    /// Held for the life of the process.
    private let lock: DirectoryLock
    private let peer: LocalPeer
    private let api: APIResponder
    /// `nil` for a machine that is alone.
    private let cluster: ClusterConnection?
    private let responder: PeerResponder?
    /// `nil` for a machine that is alone.
    private let repairer: Repairer?

    /// - Parameter replacesStorage: What this peer had is lost; it goes on with an empty disk.
    init(
        configuration: DaemonConfiguration, replacesStorage: Bool, log: Logger
    ) async throws {
        self.configuration = configuration
        self.log = log
        let directory = configuration.dataDirectory
        guard try FileSystem.loadStatus(directory)?.kind == .directory else {
            throw DaemonError.noDataDirectory(directory)
        }
        lock = try DirectoryLock(directory)
        let cores = try WorkerPool(name: "work", threadCount: ProcessorCount.available)
        let scratchDirectory = directory + "/scratch"
        try FileSystem.makeDirectory(scratchDirectory)
        let scratch = DiskScratch(directory: scratchDirectory)
        let identity = try PeerIdentity.load(from: directory)
        let cluster = try configuration.cluster.map { settings in
            try ClusterConnection(
                configuration, settings, identity: identity, workers: cores, log: log)
        }
        self.cluster = cluster
        let client = cluster?.peers
        let driver = try await PinsetDriver.open(
            path: DataOption.stateFile(in: directory), log: cluster?.makeLog() ?? SoloLog(),
            logger: log)
        let store = try ShardStore(
            dataDirectory: directory, pool: SegmentPool(spareCount: Self.spareBufferCount),
            workers: cores, scratch: scratch)
        peer = LocalPeer(
            identity: identity,
            storageID: try Self.storageID(in: directory, replacing: replacesStorage),
            replacesStorage: replacesStorage, name: configuration.peerName, driver: driver,
            store: store,
            roots: try RootRecords(dataDirectory: directory, workers: cores),
            received: try ReceivedShards(
                dataDirectory: directory, store: store, workers: cores),
            journals: try UploadJournals(dataDirectory: directory),
            snapshots: try SnapshotFiles(dataDirectory: directory), client: client,
            keptCommandCount: configuration.cluster?.keptCommandCount ?? 0, workers: cores,
            scratch: scratch,
            capacity: CapacityGauge(
                dataDirectory: directory, limitByteCount: configuration.capacityByteCount,
                headroomByteCount: configuration.headroomByteCount),
            log: log)
        // A process that was killed may have made directories without coming to this.
        try FileSystem.synchronizeDirectory(directory)
        var reader = BlockReader(
            store: store, workers: cores,
            listNode: { [peer] in await StateRoutes.listNode($0, of: peer) })
        repairer = cluster.map { [peer] cluster in
            Repairer(
                peer: peer, client: cluster.peers, gracePeriod: cluster.settings.gracePeriod,
                bytesPerSecond: cluster.settings.repairBytesPerSecond)
        }
        let local = reader
        reader.remote = client.map { [peer] in RemoteBlocks(peer: peer, client: $0) }
        api = APIResponder(
            peer: peer, client: client, whoVotes: { try await cluster?.managed?.voters() ?? [:] },
            reader: reader, configuration: configuration,
            slabs: SlabPool(spareCount: Self.spareBufferCount), log: log)
        responder = cluster.map { [peer, api] cluster in
            PeerResponder(
                peer: peer, intake: ShardIntake(peer: peer), reader: local,
                info: { cluster.info },
                forwarded: { await api.respond(toForwarded: $0, $1, context: $2) }, log: log
            )
        }
    }

    private static func storageID(
        in directory: String, replacing isReplaced: Bool
    ) throws -> StorageID {
        do throws(IdentityError) {
            return try StorageID.load(from: directory)
        } catch {
            guard case .missing = error, isReplaced else { throw error }
            let id = StorageID.random()
            try id.save(to: directory)
            return id
        }
    }

    /// Serves until SIGTERM or SIGINT, then lets requests under way finish.
    func run() async throws {
        let application = Application(
            responder: api, server: try serverBuilder(tls: configuration.tls),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                serverName: "ingestd/" + Version.text, reuseAddress: true),
            onServerRunning: { channel in
                log.notice(
                    "listening",
                    metadata: ["address": "\(channel.localAddress?.description ?? "?")"])
            },
            logger: Logger(label: "http", factory: { _ in SwiftLogNoOpLogHandler() }))
        let ready = AsyncStream.makeStream(of: Void.self)
        let places = AsyncStream.makeStream(of: PeerPlace.self)
        // They are stopped from the last to the first.
        var services: [any Service] = []
        if let etcd = cluster?.managed { services.append(EtcdService(etcd: etcd, peer: peer)) }
        services.append(
            PeerService(
                peer: peer, places: places.stream, work: workBesides,
                beforeLeaving: { [etcd = cluster?.managed, peer] in
                    try await etcd?.leave(by: peer.driver)
                },
                whenReady: { ready.continuation.finish() }))
        if let cluster, let responder {
            services.append(
                try peerServer(cluster, responder) { places.continuation.yield($0) })
        } else {
            places.continuation.yield(place())
        }
        let server = ListeningService(
            server: application, address: "\(configuration.host):\(configuration.port)",
            setting: .listen)
        services.append(WaitingService(until: ready.stream, then: server))
        var settings = ServiceGroupConfiguration(
            services: services.map {
                .init(
                    service: WatchedService(service: $0, log: log),
                    successTerminationBehavior: .gracefullyShutdownGroup)
            },
            gracefulShutdownSignals: [.sigterm, .sigint], logger: log)
        // What waits for a log that does not come back is cut off in the end.
        settings.maximumGracefulShutdownDuration = Self.shutdownPatience
        try await ServiceGroup(configuration: settings).run()
    }

    private func place(addresses: [String] = []) -> PeerPlace {
        PeerPlace(addresses: addresses, zone: configuration.zone, host: configuration.hostTag)
    }

    /// What a peer does besides once it is ready.
    @Sendable private func workBesides() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await api.uploads.sweep() }
            group.addTask { try await Housekeeper(peer: peer).run() }
            if let repairer { group.addTask { try await repairer.run() } }
            if let etcd = cluster?.managed {
                group.addTask { try await etcd.steer(by: peer.driver) }
            }
        }
    }

    private func peerServer(
        _ cluster: ClusterConnection, _ responder: PeerResponder,
        whenListening: @escaping @Sendable (PeerPlace) -> Void
    ) throws -> some Service {
        let settings = cluster.settings
        let server = Application(
            responder: responder,
            server: try serverBuilder(
                tls: cluster.credentials.serverConfiguration, besides: { [SilenceHandler()] }),
            configuration: ApplicationConfiguration(
                address: .hostname(settings.host, port: settings.port),
                serverName: "ingestd/" + Version.text, reuseAddress: true),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? settings.port
                log.notice(
                    "listening for peers",
                    metadata: ["address": "\(channel.localAddress?.description ?? "?")"])
                let address = settings.address(port: port, machineName: configuration.machineName)
                whenListening(place(addresses: [address]))
            },
            logger: Logger(label: "peers", factory: { _ in SwiftLogNoOpLogHandler() }))
        return ListeningService(
            server: server, address: "\(settings.host):\(settings.port)", setting: .peerListen)
    }

    private func serverBuilder(
        tls: TLSConfiguration?,
        besides more: @escaping @Sendable () -> [any RemovableChannelHandler] = { [] }
    ) throws -> HTTPServerBuilder {
        let seconds = configuration.idleTimeout.components.seconds
        let handlers: @Sendable () -> [any RemovableChannelHandler] = {
            [
                ReceiveTuningHandler(), StalledReaderHandler(patience: .seconds(seconds)),
                PipelinedRequestsHandler(), MalformedRequestHandler(), InterimHandler(),
                UnreadBodyHandler(),
            ] + more()
        }
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: handlers(), idleTimeout: .seconds(seconds),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 64 << 10, maxHeaderListSize: 128 << 10,
                    maxHeaderFieldCount: 256)))
        guard let tls else { return http }
        return try .tls(http, tlsConfiguration: tls)
    }
}

enum DaemonError: Error, CustomStringConvertible {
    case noDataDirectory(String)

    var description: String {
        switch self {
        case .noDataDirectory(let path):
            "there is no data directory \(path); make one with: ingestd init --data \(path)"
        }
    }
}

/// The log, the state and the shard files. The group stops it after the server, so that uploads under
/// way can finish.
private struct PeerService: Service {
    let peer: LocalPeer
    /// Tells where this peer is, once that is known.
    let places: AsyncStream<PeerPlace>
    /// Done once the peer is ready.
    let work: @Sendable () async throws -> Void
    /// Done when others have removed the peer.
    let beforeLeaving: @Sendable () async throws -> Void
    let whenReady: @Sendable () -> Void

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            do {
                var known = places.makeAsyncIterator()
                // The wait also ends when the group does.
                guard let place = await known.next() else { return }
                try await peer.run(
                    at: place, besides: work, whenReady: whenReady, beforeLeaving: beforeLeaving)
            } catch is CancellationError {}
        }
    }
}

/// Starts a service once a stream has ended.
private struct WaitingService: Service {
    let ready: AsyncStream<Void>
    let service: any Service

    init(until ready: AsyncStream<Void>, then service: any Service) {
        self.ready = ready
        self.service = service
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await _ in ready {}
        }
        // The wait also ends when the group does: it was told to stop, or what it waited for failed.
        if Task.isCancelled || Task.isShuttingDownGracefully { return }
        try await service.run()
    }
}
