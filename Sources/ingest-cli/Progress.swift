import Glibc
import ShardPlanner
import Synchronization

/// Counts bytes while they pass, for whoever draws them.
final class ProgressMeter: Sendable {
    private let count = Atomic<Int>(0)

    var byteCount: Int { count.load(ordering: .relaxed) }

    func add(_ byteCount: Int) { count.add(byteCount, ordering: .relaxed) }
}

/// How a transfer is going, in one line.
struct ProgressText {
    var doneByteCount: Int
    /// Nil where the length is not known before the end.
    var totalByteCount: Int?
    /// Bytes a second; 0 while there is nothing to tell it from.
    var rate: Double

    /// Between 0 and 1. Nothing to do is done.
    var fraction: Double? {
        guard let totalByteCount else { return nil }
        guard totalByteCount > 0 else { return 1 }
        return min(1, Double(doneByteCount) / Double(totalByteCount))
    }

    /// Seconds left at the present rate.
    var secondsLeft: Int? {
        guard let totalByteCount, rate >= 1 else { return nil }
        let seconds = Double(max(0, totalByteCount - doneByteCount)) / rate
        return seconds < 1e9 ? Int(seconds.rounded(.up)) : nil
    }

    /// - Parameter width: Columns there are; the bar takes what the numbers leave.
    func line(width: Int) -> String {
        let rateText = rate >= 1 ? "  \(ByteCountText.text(Int(rate)))/s" : ""
        guard let fraction, let totalByteCount else {
            return String("\(ByteCountText.text(doneByteCount))\(rateText)".prefix(width))
        }
        let left = secondsLeft.map { "  \(Self.clock($0)) left" } ?? ""
        let numbers =
            "\(ByteCountText.text(doneByteCount)) of \(ByteCountText.text(totalByteCount))"
            + rateText + left
        let percent = "\(Int(fraction * 100))%"
        let padded = String(repeating: " ", count: 4 - percent.count) + percent
        let room = min(40, width - numbers.count - padded.count - 5)
        guard room >= 4 else { return String("\(padded) \(numbers)".prefix(width)) }
        let filled = Int(fraction * Double(room))
        let bar =
            String(repeating: "#", count: filled) + String(repeating: ".", count: room - filled)
        return "\(padded) [\(bar)] \(numbers)"
    }

    /// `0:07`, `12:34` or `1:02:03`.
    static func clock(_ seconds: Int) -> String {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        return hours > 0
            ? "\(hours):\(two(minutes)):\(two(seconds % 60))" : "\(minutes):\(two(seconds % 60))"
    }
}

/// A rate that follows changes within seconds and does not flicker.
struct SmoothedRate {
    private(set) var bytesPerSecond = 0.0
    private var lastByteCount = 0

    mutating func update(byteCount: Int, afterSeconds seconds: Double) {
        guard seconds > 0 else { return }
        let current = Double(byteCount - lastByteCount) / seconds
        lastByteCount = byteCount
        let weight = bytesPerSecond == 0 ? 1 : min(1, seconds / 2)
        bytesPerSecond += (current - bytesPerSecond) * weight
    }
}

/// Draws a bar ten times a second while `body` runs, if asked to.
func showingProgress<Result>(
    _ meter: ProgressMeter, totalByteCount: Int?, isShown: Bool,
    _ body: () async throws -> Result
) async throws -> Result {
    guard isShown else { return try await body() }
    // Not a child: it must not keep `body` from being called where the caller is.
    let drawing = Task {
        var rate = SmoothedRate()
        var last = ContinuousClock.now
        while !Task.isCancelled {
            // The only thing sleeping throws is the cancellation that ends the loop.
            try? await Task.sleep(for: .milliseconds(100))
            let now = ContinuousClock.now
            let span = (now - last).components
            last = now
            let done = meter.byteCount
            rate.update(
                byteCount: done,
                afterSeconds: Double(span.seconds) + Double(span.attoseconds) / 1e18)
            let text = ProgressText(
                doneByteCount: done, totalByteCount: totalByteCount, rate: rate.bytesPerSecond)
            if !Task.isCancelled {
                Console.shared.showBar(text.line(width: terminalWidth() - 1))
            }
        }
    }
    func end() async {
        drawing.cancel()
        await drawing.value
        Console.shared.removeBar()
    }
    do {
        let result = try await body()
        await end()
        return result
    } catch {
        await end()
        throw error
    }
}

private func terminalWidth() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
}
