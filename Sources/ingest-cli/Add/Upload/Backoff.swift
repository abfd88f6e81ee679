/// How long to wait before something is tried again: twice as long each time, by chance a little more or
/// less, so that many who were cut off together do not come back together.
struct Backoff {
    private static let first = Duration.milliseconds(500)
    private static let longest = Duration.seconds(30)

    private var next = Self.first

    mutating func reset() { next = Self.first }

    mutating func wait(using random: inout some RandomNumberGenerator) -> Duration {
        defer { next = min(next * 2, Self.longest) }
        return next * Double.random(in: 0.8...1.2, using: &random)
    }
}
