import Glibc
import ShardPlanner
import Synchronization

/// Counts bytes while they pass, for whoever draws them.
final class ProgressMeter: Sendable {
    private let count = Atomic<Int>(0)
    /// Negative without word from the service.
    private let stored = Atomic<Int>(-1)
    private let shards = Atomic<Int>(0)

    /// Bytes that have passed; goes back when some have to pass again.
    var byteCount: Int {
        get { count.load(ordering: .relaxed) }
        set { count.store(newValue, ordering: .relaxed) }
    }

    /// Bytes that are kept: those the service has acknowledged. Where it acknowledges none before the end,
    /// all that have passed.
    var storedByteCount: Int {
        get {
            let told = stored.load(ordering: .relaxed)
            return told < 0 ? byteCount : told
        }
        set { stored.store(newValue, ordering: .relaxed) }
    }

    /// Shards that are durable on all their peers.
    var shardCount: Int {
        get { shards.load(ordering: .relaxed) }
        set { shards.store(newValue, ordering: .relaxed) }
    }

    func add(_ byteCount: Int) { count.add(byteCount, ordering: .relaxed) }
}

/// How a transfer is going, in one line. Its numbers are of what is kept; the bar shows what is on its way, too.
struct ProgressText {
    var passedByteCount: Int
    /// What of it the service has acknowledged.
    var storedByteCount: Int
    var shardCount = 0
    /// Nil where the length is not known before the end.
    var totalByteCount: Int?
    /// Bytes a second; 0 while there is nothing to tell it from.
    var rate: Double

    /// Between 0 and 1. Nothing to do is done.
    var fraction: Double? { totalByteCount.map { Self.fraction(storedByteCount, of: $0) } }

    private static func fraction(_ part: Int, of whole: Int) -> Double {
        whole > 0 ? min(1, Double(part) / Double(whole)) : 1
    }

    /// Seconds left at the present rate.
    var secondsLeft: Int? {
        guard let totalByteCount, rate >= 1 else { return nil }
        let seconds = Double(max(0, totalByteCount - storedByteCount)) / rate
        return seconds < 1e9 ? Int(seconds.rounded(.up)) : nil
    }

    /// - Parameter width: Columns there are; the bar takes what the numbers leave.
    func line(width: Int) -> String {
        let rateText = rate >= 1 ? "  \(ByteCountText.text(Int(rate)))/s" : ""
        guard let fraction, let totalByteCount else {
            return String("\(ByteCountText.text(storedByteCount))\(rateText)".prefix(width))
        }
        let left = secondsLeft.map { "  \(Self.clock($0)) left" } ?? ""
        let shardText =
            shardCount > 0 ? "  \(shardCount) shard\(shardCount == 1 ? "" : "s")" : ""
        let numbers =
            "\(ByteCountText.text(storedByteCount)) of \(ByteCountText.text(totalByteCount))"
            + rateText + left + shardText
        // All is done when the root is there, and then there is no bar any more.
        let percent = "\(min(99, Int(fraction * 100)))%"
        let padded = String(repeating: " ", count: 4 - percent.count) + percent
        let room = min(40, width - numbers.count - padded.count - 5)
        guard room >= 4 else { return String("\(padded) \(numbers)".prefix(width)) }
        let filled = Int(Self.fraction(passedByteCount, of: totalByteCount) * Double(room))
        let stored = min(filled, Int(fraction * Double(room)))
        let bar =
            String(repeating: "#", count: stored) + String(repeating: "+", count: filled - stored)
            + String(repeating: ".", count: room - filled)
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

/// A rate that follows changes within seconds and does not flicker: the mean since the start at first,
/// for what begins with full buffers begins too fast.
struct SmoothedRate {
    private static let span = 2.0

    private(set) var bytesPerSecond = 0.0
    private var lastByteCount = 0
    private var elapsedSeconds = 0.0

    mutating func update(byteCount: Int, afterSeconds seconds: Double) {
        guard seconds > 0 else { return }
        let current = Double(max(0, byteCount - lastByteCount)) / seconds
        lastByteCount = byteCount
        elapsedSeconds += seconds
        let weight = min(1, seconds / min(elapsedSeconds, Self.span))
        bytesPerSecond += (current - bytesPerSecond) * weight
    }
}

/// One line on the terminal for all transfers of a command, drawn ten times a second while there are any.
final class ProgressBar: Sendable {
    private struct Transfer {
        let meter: ProgressMeter
        let totalByteCount: Int?
    }

    private struct State {
        /// Those that have ended count until all have, so that nothing goes back.
        var transfers: [Transfer] = []
        var activeCount = 0
        var drawing: Task<Void, Never>?
    }

    let isShown: Bool
    private let state = Mutex(State())

    /// - Parameter isWanted: What the user asks for; by default there is one on a terminal.
    init(isWanted: Bool?) {
        isShown = isWanted ?? (Console.shared.errorIsTerminal && environment("TERM") != "dumb")
    }

    /// Draws while `body` runs, if it is to be shown.
    func showing<Result>(
        _ meter: ProgressMeter, totalByteCount: Int?, _ body: () async throws -> Result
    ) async throws -> Result {
        guard isShown else { return try await body() }
        begin(Transfer(meter: meter, totalByteCount: totalByteCount))
        do {
            let result = try await body()
            await end()
            return result
        } catch {
            await end()
            throw error
        }
    }

    private func begin(_ transfer: Transfer) {
        state.withLock { state in
            state.transfers.append(transfer)
            state.activeCount += 1
            // Not a child: it must not keep what is shown from being called where its caller is.
            if state.drawing == nil { state.drawing = Task { await self.draw() } }
        }
    }

    private func end() async {
        let drawing = state.withLock { state -> Task<Void, Never>? in
            state.activeCount -= 1
            guard state.activeCount == 0 else { return nil }
            defer { (state.drawing, state.transfers) = (nil, []) }
            return state.drawing
        }
        drawing?.cancel()
        await drawing?.value
        if drawing != nil { Console.shared.removeBar() }
    }

    private func draw() async {
        var rate = SmoothedRate()
        var last = ContinuousClock.now
        while !Task.isCancelled {
            // The only thing sleeping throws is the cancellation that ends the loop.
            try? await Task.sleep(for: .milliseconds(100))
            let now = ContinuousClock.now
            let span = (now - last).components
            last = now
            var text = state.withLock { Self.text($0.transfers) }
            rate.update(
                byteCount: text.passedByteCount,
                afterSeconds: Double(span.seconds) + Double(span.attoseconds) / 1e18)
            text.rate = rate.bytesPerSecond
            if !Task.isCancelled {
                Console.shared.showBar(text.line(width: terminalWidth() - 1))
            }
        }
    }

    private static func text(_ transfers: [Transfer]) -> ProgressText {
        var text = ProgressText(passedByteCount: 0, storedByteCount: 0, totalByteCount: 0, rate: 0)
        for transfer in transfers {
            text.passedByteCount += transfer.meter.byteCount
            text.storedByteCount += transfer.meter.storedByteCount
            text.shardCount += transfer.meter.shardCount
            // One of unknown length makes the sum unknown.
            text.totalByteCount = text.totalByteCount.flatMap { sum in
                transfer.totalByteCount.map { sum + $0 }
            }
        }
        return text
    }
}

private func terminalWidth() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
}
