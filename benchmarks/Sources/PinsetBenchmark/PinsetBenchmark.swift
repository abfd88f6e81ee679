import Glibc
import Pinset
import PosixIO
import ShardPlanner

/// How long placement and the commands of the pinset take, in memory and without saving.
///
///     PinsetBenchmark                        against the aims: 1,000 peers, 100,000 shards
///     PinsetBenchmark growth                 up to 10,000 peers and 1,000,000 shards
///     PinsetBenchmark growth PEERS SHARDS    one line of that table
///
/// Prints a Markdown table. The work is the same in every run; times are processor times of the one
/// thread.
@main
enum PinsetBenchmark {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        let numbers = arguments.dropFirst().compactMap { Int($0) }
        switch (arguments.first, arguments.count) {
        case (nil, _): try Aims().run()
        case ("growth", 1): try Growth.run()
        case ("growth", 3) where numbers.count == 2 && numbers[0] >= 3 && numbers[1] >= 1:
            try Growth.run([(peers: numbers[0], shards: numbers[1])])
        default:
            print("usage: PinsetBenchmark [growth [PEERS SHARDS]]")
            exit(2)
        }
    }
}
