import NIOCore

extension TimeAmount {
    /// The span in nanoseconds, the longest there is for anything beyond 292 years.
    init(_ span: Duration) {
        let (seconds, attoseconds) = span.components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        self = overflow ? .nanoseconds(.max) : .nanoseconds(whole + attoseconds / 1_000_000_000)
    }
}
