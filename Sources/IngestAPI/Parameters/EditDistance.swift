/// Finds the name somebody most likely meant.
package enum EditDistance {
    /// The candidate nearest to `name`, or nil when all are too far to be a slip of the fingers:
    /// more than a third of the name, and more than two edits.
    ///
    /// Ties go to the candidate that comes first.
    package static func nearest(to name: String, among candidates: some Sequence<String>) -> String?
    {
        let written = Array(name.utf8.prefix(64))
        let limit = max(2, written.count / 3)
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let distance = self.distance(written, Array(candidate.utf8))
            if distance <= limit && distance < best?.distance ?? .max {
                best = (candidate, distance)
            }
        }
        return best?.name
    }

    /// Insertions, deletions and replacements of bytes that turn one into the other.
    static func distance(_ one: [UInt8], _ other: [UInt8]) -> Int {
        var row = Array(0...other.count)
        for (i, a) in one.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in other.enumerated() {
                let replaced = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[other.count]
    }
}
