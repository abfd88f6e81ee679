import Testing

@testable import ClusterSimulation

/// A few seeds; `Scripts/test` runs many more of them, and all mistakes, in a release build.
struct ClusterSimulationTests {
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func allThatWasPromisedHoldsWhilePeersDiskAndNetworkFail(seed: UInt64) {
        let run = Run(seed: seed)
        #expect(run.finding == nil)
        #expect(run.counts[.crash] > 0 && run.counts[.commit] > 0)
        // One voter, then two more.
        #expect(run.counts[.election] > 0 && run.counts[.voterStep] >= 4)
    }

    @Test func twoRunsOfOneSeedAreTheSame() {
        let (first, second) = (Run(seed: 7), Run(seed: 7))
        #expect(first.trace == second.trace)
        #expect(first.trace != Run(seed: 8).trace)
    }

    @Test(arguments: [
        Mistake.receiptBeforeSync, .appliesTwice, .confirmsBeforeRemoval,
        .acknowledgesBeforeJournal, .writesBeyondReservation, .answersBeforeCommit,
    ])
    func aMistakeIsCaught(_ mistake: Mistake) {
        #expect(Run.firstCatch(of: mistake, limit: 3) != nil, "\(mistake.explanation)")
    }
}
