import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import ingestd

/// What the log says of a part of the daemon that ends.
@Suite(.timeLimit(.minutes(1))) struct WatchedServiceTests {
    private struct EndingService: Service {
        func run() async throws {}
    }

    private struct StoppedService: Service {
        let started: AsyncStream<Void>.Continuation

        func run() async throws {
            started.finish()
            try await gracefulShutdown()
        }
    }

    /// Keeps what is logged.
    private final class Words: Sendable {
        let lines = Mutex<[String]>([])

        struct Handler: LogHandler {
            let words: Words
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.trace

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) {
                let line = "\(event.level) \(event.message) \(event.metadata ?? [:])"
                words.lines.withLock { $0.append(line) }
            }
        }
    }

    private let words = Words()

    private var log: Logger {
        Logger(label: "test") { [words] _ in Words.Handler(words: words) }
    }

    @Test func aPartThatEndsByItselfIsNamedAsAnError() async throws {
        try await WatchedService(service: EndingService(), log: log).run()
        let lines = words.lines.withLock { $0 }
        #expect(lines.count == 1)
        #expect(lines.first?.hasPrefix("error") == true)
        #expect(lines.first?.contains("EndingService") == true)
    }

    @Test func aPartThatIsToldToStopEndsWithoutAWord() async throws {
        let (stream, started) = AsyncStream.makeStream(of: Void.self)
        let service = WatchedService(service: StoppedService(started: started), log: log)
        let group = ServiceGroup(
            services: [service], logger: Logger(label: "group") { _ in SwiftLogNoOpLogHandler() })
        async let end: Void = group.run()
        for await _ in stream {}
        await group.triggerGracefulShutdown()
        try await end
        #expect(words.lines.withLock { $0 }.isEmpty)
    }
}
