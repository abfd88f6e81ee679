/// A table for people: a head, and columns as wide as what is in them.
struct TextTable {
    private var rows: [[String]]
    /// Columns of numbers, from 0.
    var rightAligned: Set<Int> = []

    init(_ head: [String]) { rows = [head] }

    mutating func add(_ row: [String]) {
        precondition(row.count == rows[0].count, "every row has all columns")
        rows.append(row)
    }

    var lines: [String] {
        let widths = rows[0].indices.map { column in
            rows.reduce(0) { max($0, $1[column].count) }
        }
        return rows.map { row in
            let cells = row.enumerated().map { column, text in
                let blanks = String(repeating: " ", count: widths[column] - text.count)
                return rightAligned.contains(column) ? blanks + text : text + blanks
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    func print() throws {
        for line in lines { try Console.shared.printLine(line) }
    }
}

/// A peer for people: its name where it has one, and the end of its ID, which tells peers apart.
func peerText(_ id: String, _ name: String?) -> String {
    guard let name, !name.isEmpty else { return id }
    return "\(name) (…\(id.suffix(8)))"
}
