import ArgumentParser

@main
struct Simulation: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ClusterSimulation",
        abstract: "Runs whole clusters on one thread, one for each seed, and checks their promises."
    )

    @Option(help: "How many seeds.")
    var seeds = 1

    @Option(help: "The first seed.")
    var from: UInt64 = 1

    @Option(help: "A deliberate error, or all of them; --help-mistakes lists them.")
    var mistake: String?

    @Flag(help: "Print every event.")
    var trace = false

    @Flag(help: "List the deliberate errors.")
    var helpMistakes = false

    /// In so many runs, everything that can happen does.
    private static let telling = 200

    func run() throws {
        if helpMistakes {
            for mistake in Mistake.allCases { print("\(mistake.rawValue): \(mistake.explanation)") }
            return
        }
        guard let mistake else { return try runSound() }
        if mistake == "all" {
            let missed = Mistake.allCases.filter { !isCaught($0) }
            if !missed.isEmpty { throw ExitCode.failure }
            return
        }
        guard let one = Mistake(rawValue: mistake) else {
            throw ValidationError("there is no mistake \(mistake); --help-mistakes lists them")
        }
        if !isCaught(one) { throw ExitCode.failure }
    }

    private func isCaught(_ mistake: Mistake) -> Bool {
        let likely = mistake.likelySeed.flatMap {
            Run.firstCatch(of: mistake, from: $0, limit: 1, isTraced: trace)
        }
        guard
            let caught = likely
                ?? Run.firstCatch(of: mistake, from: from, limit: seeds, isTraced: trace)
        else {
            print("\(mistake.rawValue): NOT CAUGHT in \(seeds) seeds")
            return false
        }
        print("\(mistake.rawValue): caught by seed \(caught.seed): \(caught.finding)")
        return true
    }

    private func runSound() throws {
        var total = Counts()
        var traces = Trace()
        for seed in from..<from + UInt64(seeds) {
            let run = Run(seed: seed, isTraced: trace)
            if let finding = run.finding {
                print("seed \(seed): \(finding)")
                print("again: swift run ClusterSimulation --from \(seed) --trace")
                throw ExitCode.failure
            }
            total += run.counts
            traces.add(run.trace)
        }
        print("\(seeds) seeds from \(from) on: \(total); trace \(String(traces.value, radix: 16))")
        if seeds >= Self.telling, !total.missing.isEmpty {
            let missing = total.missing.map(\.rawValue).joined(separator: ", ")
            print("nothing was checked of what never happened: \(missing)")
            throw ExitCode.failure
        }
    }
}

/// One seed from begin to end.
struct Run {
    let finding: String?
    let counts: Counts
    let trace: Trace

    init(seed: UInt64, mistake: Mistake? = nil, isTraced: Bool = false) {
        let world = World(seed: seed, mistake: mistake, isTraced: isTraced)
        world.run()
        finding = world.findings.first
        counts = world.counts
        trace = world.trace
    }

    /// The first seed whose checks notice a mistake, and nothing in the same world without it.
    static func firstCatch(
        of mistake: Mistake, from first: UInt64 = 1, limit: Int, isTraced: Bool = false
    ) -> (seed: UInt64, finding: String)? {
        for seed in first..<first + UInt64(limit) {
            guard let finding = Run(seed: seed, mistake: mistake, isTraced: isTraced).finding else {
                continue
            }
            if let other = Run(seed: seed).finding {
                print("seed \(seed) fails without \(mistake.rawValue), too: \(other)")
                continue
            }
            return (seed, finding)
        }
        return nil
    }
}
