/// A moment by somebody's clock, as RFC 3339 writes it; in UTC and to the nanosecond.
package struct WallTime: Equatable, Comparable, Sendable, CustomStringConvertible {
    /// Seconds since 1970, negative before.
    package let seconds: Int64
    /// 0 to 999,999,999.
    package let nanoseconds: UInt32

    /// Go's zero time, which ipfs-cluster shows where there is none.
    package static let zero = WallTime(seconds: -62_135_596_800)

    private static let years: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

    /// - Precondition: The year is 1 to 9999 and `nanoseconds` below 1,000,000,000.
    package init(seconds: Int64, nanoseconds: UInt32 = 0) {
        precondition(Self.years.contains(seconds), "RFC 3339 has years of four digits")
        precondition(nanoseconds < 1_000_000_000, "nanoseconds make up less than a second")
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// The end of the year 9999 for what lies beyond it.
    package init(milliseconds: UInt64) {
        let milliseconds = min(milliseconds, UInt64(Self.years.upperBound) * 1000 + 999)
        self.init(
            seconds: Int64(milliseconds / 1000),
            nanoseconds: UInt32(milliseconds % 1000) * 1_000_000)
    }

    /// Reads `2025-11-21T01:36:00Z`, with a fraction of up to nine digits and `Z` or an offset;
    /// nil for anything else, a 30th of February and a leap second included.
    package init?(_ text: String) {
        var reader = DigitReader(text)
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2),
            reader.take("-"), let day = reader.number(2), reader.take("T") || reader.take("t"),
            let hour = reader.number(2), reader.take(":"), let minute = reader.number(2),
            reader.take(":"), let second = reader.number(2), let fraction = reader.fraction(),
            let offset = reader.offset(), reader.isAtEnd,
            year >= 1, (1...12).contains(month), day >= 1, day <= Self.dayCount(month, year),
            hour <= 23, minute <= 59, second <= 59
        else { return nil }
        let days = Self.days(year: year, month: month, day: day)
        let seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
        guard Self.years.contains(seconds) else { return nil }
        self.init(seconds: seconds, nanoseconds: fraction)
    }

    /// The shortest text without loss: `2025-11-21T01:36:00.5Z`.
    package var description: String {
        let (days, time) = seconds.floorDivided(by: 86400)
        let (year, month, day) = Self.date(days: days)
        let clock =
            "\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
        var fraction = nanoseconds == 0 ? "" : "." + padded(Int64(nanoseconds), 9)
        while fraction.last == "0" { fraction.removeLast() }
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(clock)\(fraction)Z"
    }

    /// This moment and a span later; nil after the year 9999.
    package func adding(_ span: Duration) -> WallTime? {
        let (more, attoseconds) = span.components
        let nanoseconds = Int64(self.nanoseconds) + attoseconds / 1_000_000_000
        let (carry, rest) = nanoseconds.floorDivided(by: 1_000_000_000)
        let (sum, overflow) = seconds.addingReportingOverflow(more)
        guard !overflow, Self.years.contains(sum), Self.years.contains(sum + carry) else {
            return nil
        }
        return WallTime(seconds: sum + carry, nanoseconds: UInt32(rest))
    }

    package static func < (left: WallTime, right: WallTime) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }

    // MARK: - Calendar

    /// Days since 1970 of a date in the Gregorian calendar, after Howard Hinnant's
    /// "chrono-Compatible Low-Level Date Algorithms".
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = year.floorDivided(by: 400)
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
            - 719_468
    }

    private static func date(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (days + 719_468).floorDivided(by: 146_097)
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func dayCount(_ month: Int64, _ year: Int64) -> Int64 {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return switch month {
        case 2: isLeap ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

extension WallTime: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let time = WallTime(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not a time as in RFC 3339")
        }
        self = time
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

private struct DigitReader {
    private var rest: Substring.UTF8View

    init(_ text: String) {
        rest = Substring(text).utf8
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number(_ digitCount: Int) -> Int64? {
        let digits = rest.prefix(digitCount)
        guard digits.count == digitCount, digits.allSatisfy(isDigit) else { return nil }
        rest = rest.dropFirst(digitCount)
        return digits.reduce(0) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
    }

    /// Nanoseconds; 0 when there is no fraction, nil when it has none or more than nine digits.
    mutating func fraction() -> UInt32? {
        guard take(".") else { return 0 }
        let digits = rest.prefix(while: isDigit)
        guard (1...9).contains(digits.count) else { return nil }
        rest = rest.dropFirst(digits.count)
        let value = digits.reduce(UInt32(0)) { $0 * 10 + UInt32($1 - UInt8(ascii: "0")) }
        return (digits.count..<9).reduce(value) { value, _ in value * 10 }
    }

    /// Seconds east of UTC.
    mutating func offset() -> Int64? {
        if take("Z") || take("z") { return 0 }
        let isEast = take("+")
        guard isEast || take("-"), let hours = number(2), take(":"), let minutes = number(2),
            hours <= 23, minutes <= 59
        else { return nil }
        return (hours * 3600 + minutes * 60) * (isEast ? 1 : -1)
    }
}

private func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
}

private func padded(_ number: Int64, _ digitCount: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, digitCount - digits.utf8.count)) + digits
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
