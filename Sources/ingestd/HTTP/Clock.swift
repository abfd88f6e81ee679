import ClusterCore
import IngestAPI
import Pinset

extension WallTime {
    /// This machine's clock.
    static var now: WallTime { WallTime(milliseconds: LogTime.wallClock().millisecondsSinceEpoch) }
}

extension LogTime {
    /// A time a user gave; one before 1970 is 1970.
    init(_ time: WallTime) {
        let milliseconds = max(0, time.seconds) * 1000 + Int64(time.nanoseconds / 1_000_000)
        self.init(millisecondsSinceEpoch: UInt64(milliseconds))
    }
}
