import Logging
import ServiceLifecycle

/// Says so when a service ends that nobody has told to: the group then stops without a word.
struct WatchedService: Service {
    let service: any Service
    let log: Logger

    func run() async throws {
        try await service.run()
        if Task.isCancelled || Task.isShuttingDownGracefully { return }
        log.error(
            "a part of the daemon has ended by itself; the daemon stops",
            metadata: ["part": "\(type(of: service))"])
    }
}
