import Glibc

/// Times of one kind of work, in seconds of the calling thread's processor time: other work on the
/// machine changes it least.
struct Samples {
    private var seconds: [Double] = []

    var isEmpty: Bool { seconds.isEmpty }
    var median: Double { seconds.sorted()[seconds.count / 2] }
    var largest: Double { seconds.max() ?? 0 }

    /// Runs `body` and adds the time it took.
    mutating func time<R>(_ body: () throws -> R) rethrows -> R {
        let start = Self.now
        let result = try body()
        seconds.append(Self.now - start)
        return result
    }

    private static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

/// Prints a line of a table at once, also into a file.
func printRow(_ cells: String...) {
    print("| " + cells.joined(separator: " | ") + " |")
    fflush(nil)
}

/// Seconds with three digits and a unit that suits them.
func text(_ seconds: Double) -> String {
    for (scale, unit) in [(1.0, "s"), (1e3, "ms"), (1e6, "µs")] where seconds * scale >= 1 {
        return "\(digits(seconds * scale)) \(unit)"
    }
    return "\(digits(seconds * 1e9)) ns"
}

/// A number from 0 up with three digits, or all before its point.
func digits(_ number: Double) -> String {
    if number >= 100 { return String(Int(number.rounded())) }
    let scale = number >= 10 ? 10 : 100
    let scaled = Int((number * Double(scale)).rounded())
    let fraction = String(scaled % scale + scale).dropFirst()
    return "\(scaled / scale).\(fraction)"
}
