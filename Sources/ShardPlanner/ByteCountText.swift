/// Byte counts for people.
package enum ByteCountText {
    private static let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    /// The count in its largest fitting binary unit with at most one decimal, such as "64 MiB".
    package static func text(_ byteCount: Int) -> String {
        var unit = 0
        var size = 1
        while unit < units.count - 1, byteCount / 1024 >= size {
            size *= 1024
            unit += 1
        }
        let whole = byteCount / size
        let tenths = unit == 0 ? 0 : byteCount % size / max(1, size / 10)
        return (tenths == 0 ? "\(whole)" : "\(whole).\(min(tenths, 9))") + " " + units[unit]
    }

    /// Reads a number of bytes with an optional unit, binary or decimal, such as "500MiB" or "2 TB".
    package static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).filter { $0 != " " }
        let factors = [
            "": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
            "PiB": 1 << 50, "EiB": 1 << 60,
            "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000,
            "PB": 1_000_000_000_000_000, "EB": 1_000_000_000_000_000_000,
        ]
        guard let number = Int(digits), let factor = factors[unit],
            case (let product, false) = number.multipliedReportingOverflow(by: factor)
        else { return nil }
        return product
    }

    /// The same, in plain bytes when `other` would read alike.
    static func text(_ byteCount: Int, besides other: Int) -> String {
        let short = text(byteCount)
        return byteCount != other && short == text(other) ? "\(byteCount) bytes" : short
    }
}
