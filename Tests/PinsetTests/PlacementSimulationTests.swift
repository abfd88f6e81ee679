import Testing

struct PlacementSimulationTests {
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func unequalPeersFillEvenlyAndCompletely(seed: UInt64) {
        var simulation = PlacementSimulation(seed: seed)
        let figures = simulation.run()
        print("placement seed \(seed): \(figures)")
        #expect(figures.spreadAtHalf <= 0.02)
        #expect(figures.placedShare >= 0.9 && figures.placedShare <= 1)
        #expect(figures.firstSharedZoneShare >= 0.9)
        #expect(figures.largestZoneShare <= 0.5, "else no rule can fill all zones evenly")
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func copiesShareAZoneOnlyWhenNoOtherHasRoom(seed: UInt64) {
        var simulation = PlacementSimulation(seed: seed, firstZoneFactor: 6)
        let figures = simulation.run()
        print("placement seed \(seed), one large zone: \(figures)")
        #expect(figures.largestZoneShare > 0.5)
        #expect(figures.firstSharedZoneShare >= 0.9 && figures.firstSharedZoneShare <= 1)
        #expect(figures.placedShare > 1, "the rest of the large zone takes both copies")
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func decisionsDoNotDependOnTheOrderOfPeers(seed: UInt64) throws {
        var simulation = PlacementSimulation(seed: seed)
        for number in 0..<30 {
            simulation.fill(shards: 5)
            let decisions = try simulation.shuffledDecisions(number)
            #expect(decisions.allSatisfy { $0 == decisions[0] })
        }
    }
}

extension PlacementSimulation.Figures: CustomStringConvertible {
    /// Bytes taken at the first refusal, of those that could be.
    var placedShare: Double { Double(placedByteCount) / Double(feasibleByteCount) }

    /// Bytes taken when two copies first shared a zone, of those that fit without that.
    var firstSharedZoneShare: Double {
        Double(firstSharedZoneByteCount ?? placedByteCount) / Double(feasibleByteCount)
    }

    var description: String {
        "fill spread at half \(percent(spreadAtHalf)); of what is feasible in distinct zones, first "
            + "copies in one zone at \(percent(firstSharedZoneShare)), first refusal at "
            + "\(percent(placedShare)) after \(shardCount) shards; largest zone "
            + "\(percent(largestZoneShare))"
    }

    private func percent(_ share: Double) -> String {
        let hundredths = Int((share * 10_000).rounded())
        return "\(hundredths / 100).\(hundredths % 100 / 10)\(hundredths % 10) %"
    }
}
