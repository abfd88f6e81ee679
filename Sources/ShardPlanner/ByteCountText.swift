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

    /// The same, in plain bytes when `other` would read alike.
    static func text(_ byteCount: Int, besides other: Int) -> String {
        let short = text(byteCount)
        return byteCount != other && short == text(other) ? "\(byteCount) bytes" : short
    }
}
