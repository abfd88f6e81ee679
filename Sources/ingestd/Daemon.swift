import ClusterCore
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

    let configuration: DaemonConfiguration
    let log: Logger
    /// Held for the life of the process.
    private let lock: DirectoryLock
    private let peer: LocalPeer
    private let api: APIResponder

    init(configuration: DaemonConfiguration, log: Logger) async throws {
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
        let driver = try await PinsetDriver.open(
            path: directory + "/state.sqlite", log: SoloLog(), logger: log)
        peer = LocalPeer(
            identity: try PeerIdentity.load(from: directory),
            storageID: try StorageID.load(from: directory), name: configuration.peerName,
            driver: driver,
            store: try ShardStore(
                dataDirectory: directory, pool: SegmentPool(spareCount: Self.spareBufferCount),
                workers: cores, scratch: scratch),
            roots: try RootRecords(dataDirectory: directory, workers: cores), workers: cores,
            scratch: scratch,
            capacity: CapacityGauge(
                dataDirectory: directory, limitByteCount: configuration.capacityByteCount,
                headroomByteCount: configuration.headroomByteCount),
            log: log)
        api = APIResponder(
            peer: peer, configuration: configuration,
            slabs: SlabPool(spareCount: Self.spareBufferCount), log: log)
    }

    /// Serves until SIGTERM or SIGINT, then lets requests under way finish.
    func run() async throws {
        let application = Application(
            responder: api, server: try serverBuilder(),
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
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(
                        service: PeerService(peer: peer) { ready.continuation.finish() },
                        successTerminationBehavior: .gracefullyShutdownGroup),
                    .init(
                        service: WaitingService(until: ready.stream, then: application),
                        successTerminationBehavior: .gracefullyShutdownGroup),
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: log))
        try await services.run()
    }

    private func serverBuilder() throws -> HTTPServerBuilder {
        let seconds = configuration.idleTimeout.components.seconds
        let handlers: @Sendable () -> [any RemovableChannelHandler] = {
            [
                ReceiveTuningHandler(), StalledReaderHandler(patience: .seconds(seconds)),
                PipelinedRequestsHandler(), MalformedRequestHandler(), ContinueHandler(),
                UnreadBodyHandler(),
            ]
        }
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: handlers(), idleTimeout: .seconds(seconds),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 64 << 10, maxHeaderListSize: 128 << 10,
                    maxHeaderFieldCount: 256)))
        guard let tls = configuration.tls else { return http }
        let chain = try NIOSSLCertificate.fromPEMFile(tls.certificate)
        let key = try NIOSSLPrivateKey(file: tls.key, format: .pem)
        return try .tls(
            http,
            tlsConfiguration: .makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key)))
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
    let whenReady: @Sendable () -> Void

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            do {
                try await peer.run { whenReady() }
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
        for await _ in ready {}
        // The wait also ends when the group does, because what it waited for has failed.
        if Task.isCancelled { return }
        try await service.run()
    }
}
