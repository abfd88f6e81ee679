/// Spans of time as Go writes them: `90s`, `1h30m`, `1.5h`, `-2ms`, `0`.
package enum GoDuration {
    private static let nanosecondsPerUnit: [(unit: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1000), ("µs", 1000), ("μs", 1000), ("ms", 1_000_000),
        ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// Reads what Go's `time.ParseDuration` reads; nil for anything else and beyond 64 bits of
    /// nanoseconds (292 years). Fractions of a nanosecond are dropped.
    package static func parse(_ text: String) -> Duration? {
        var rest = Substring(text)
        let isNegative = rest.first == "-"
        if let sign = rest.first, sign == "-" || sign == "+" { rest.removeFirst() }
        if rest == "0" { return .zero }
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            guard let part = takePart(&rest) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow else { return nil }
            total = sum
        }
        return .nanoseconds(isNegative ? -total : total)
    }

    private static func takePart(_ rest: inout Substring) -> Int64? {
        let whole = takeDigits(&rest)
        var fraction = Substring()
        if rest.first == "." {
            rest.removeFirst()
            fraction = takeDigits(&rest)
        }
        guard !(whole.isEmpty && fraction.isEmpty), whole.isEmpty || Int64(whole) != nil else {
            return nil
        }
        let unit = rest.prefix { !$0.isASCII || $0.isLetter }
        guard let scale = nanosecondsPerUnit.first(where: { $0.unit == unit })?.nanoseconds else {
            return nil
        }
        rest = rest.dropFirst(unit.count)
        let (product, overflow) = (Int64(whole) ?? 0).multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        let (sum, isTooLong) = product.addingReportingOverflow(part(fraction, of: scale))
        return isTooLong ? nil : sum
    }

    private static func takeDigits(_ rest: inout Substring) -> Substring {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        return digits
    }

    private static func part(_ fraction: Substring, of scale: Int64) -> Int64 {
        let digits = fraction.utf8.prefix(18)
        let numerator = digits.reduce(Int64(0)) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
        let denominator = digits.reduce(1.0) { product, _ in product * 10 }
        return Int64(Double(numerator) * (Double(scale) / denominator))
    }
}
