import IngestClient
import Testing

@testable import ingest_cli

struct RetriesTests {
    private let lost = ClientError.connectionLost(address: "a", reason: "it was cut")
    private let unreachable = ClientError.unreachable(address: "a", reason: "nobody listens")

    @Test func waitsGrowToAHalfMinuteAndDiffer() {
        var (backoff, random) = (Backoff(), SystemRandomNumberGenerator())
        let waits = (0..<12).map { _ in backoff.wait(using: &random) }
        #expect(waits[0] <= .milliseconds(600) && waits[1] >= .milliseconds(800))
        #expect(waits.suffix(5).allSatisfy { $0 >= .seconds(24) && $0 <= .seconds(36) })
        #expect(Set(waits.suffix(5)).count > 1)
        backoff.reset()
        #expect(backoff.wait(using: &random) <= .milliseconds(600))
    }

    /// Not from when the command began: an upload may begin long after.
    @Test func patienceBeginsWithTheFirstFailure() {
        var retries = Retries(patience: .seconds(10), waitsForService: false)
        let first = ContinuousClock.now + .seconds(1000)
        let failing = [0, 9, 10].map { retries.isWorthwhile(after: lost, at: first + .seconds($0)) }
        #expect(failing == [true, true, false])
        retries.noteProgress()
        let later = retries.isWorthwhile(after: lost, at: first + .seconds(50))
        #expect(later)
    }

    @Test func aServiceThatHasNeverAnsweredIsNotWaitedForUnasked() {
        var retries = Retries(patience: .seconds(10), waitsForService: false)
        let before = retries.isWorthwhile(after: unreachable, at: .now)
        retries.noteProgress()
        let after = retries.isWorthwhile(after: unreachable, at: .now)
        #expect(!before && after)
        var patient = Retries(patience: .seconds(10), waitsForService: true)
        let asked = patient.isWorthwhile(after: unreachable, at: .now)
        #expect(asked)
    }

    /// Something that answers is there, whatever it answers.
    @Test func aServiceThatWasReachedIsWaitedForByAll() {
        let retries = Retries(patience: .seconds(10), waitsForService: false)
        var (one, other) = (retries, retries)
        let reached = one.isWorthwhile(after: lost, at: .now)
        let after = other.isWorthwhile(after: unreachable, at: .now)
        #expect(reached && after)
    }

    @Test func withoutPatienceNothingIsTriedAgain() {
        var retries = Retries(patience: .zero, waitsForService: true)
        let isWorthwhile = retries.isWorthwhile(after: lost, at: .now)
        #expect(!isWorthwhile)
    }
}
