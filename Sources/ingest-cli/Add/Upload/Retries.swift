import IngestClient
import Synchronization

/// Whether a service has answered, as all that talk to it know.
final class ServiceContact: Sendable {
    private let answered: Mutex<Bool>

    init(hasAnswered: Bool) { answered = Mutex(hasAnswered) }

    var hasAnswered: Bool { answered.withLock(\.self) }

    func noteAnswer() { answered.withLock { $0 = true } }
}

/// Tries again what fails for a passing reason, until nothing has got through for too long.
struct Retries {
    /// How long nothing may get through.
    let patience: Duration
    /// A service that cannot be reached is waited for. Before it has answered at all it may as well be
    /// that there is none.
    private let contact: ServiceContact
    private var backoff = Backoff()
    private var random = SystemRandomNumberGenerator()
    /// When something failed for the first time since something got through.
    private var failingSince: ContinuousClock.Instant?

    init(patience: Duration, waitsForService: Bool) {
        self.patience = patience
        contact = ServiceContact(hasAnswered: waitsForService)
    }

    /// Something got through.
    mutating func noteProgress() {
        failingSince = nil
        contact.noteAnswer()
        backoff.reset()
    }

    /// Waits until the time to try again has come.
    ///
    /// - Throws: `error`, when trying again would not change it, or nothing got through for too long.
    mutating func wait(after error: ClientError) async throws {
        guard isWorthwhile(after: error, at: .now) else { throw error }
        let wait = backoff.wait(using: &random)
        let seconds = Double(wait.components.attoseconds) / 1e18 + Double(wait.components.seconds)
        Console.shared.printError(
            "ingest-cli: \(error.cause); going on in \(Int(seconds.rounded(.up))) s")
        try await Task.sleep(for: wait)
    }

    /// Whether to try again after an error at this time.
    mutating func isWorthwhile(after error: ClientError, at now: ContinuousClock.Instant) -> Bool {
        if case .unreachable = error {
            guard contact.hasAnswered else { return false }
        } else {
            contact.noteAnswer()
        }
        let start = failingSince ?? now
        failingSince = start
        return error.isPassing && start.duration(to: now) < patience
    }

    /// Does what does no harm when it is done twice, until it works.
    mutating func run<Result>(_ attempt: () async throws -> Result) async throws -> Result {
        while true {
            do {
                let result = try await attempt()
                noteProgress()
                return result
            } catch let error as ClientError {
                try await wait(after: error)
            }
        }
    }
}
