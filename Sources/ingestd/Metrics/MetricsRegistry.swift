import Synchronization

/// Counters and gauges by name and labels, written out in the Prometheus text format
/// (version 0.0.4). No package on the list of dependencies has an exporter.
final class MetricsRegistry: Sendable {
    enum Kind: String, Sendable {
        case counter, gauge
    }

    private struct Family {
        let kind: Kind
        let help: String
        var values: [String: Double] = [:]
    }

    private let families = Mutex<[String: Family]>([:])

    /// Names a family before it is used, so that it is listed from the start.
    func declare(_ name: String, _ kind: Kind, _ help: String) {
        families.withLock { families in
            if families[name] == nil { families[name] = Family(kind: kind, help: help) }
        }
    }

    func add(_ name: String, _ amount: Double = 1, labels: [(String, String)] = []) {
        let key = Self.key(labels)
        families.withLock { $0[name]?.values[key, default: 0] += amount }
    }

    func set(_ name: String, _ value: Double, labels: [(String, String)] = []) {
        let key = Self.key(labels)
        families.withLock { $0[name]?.values[key] = value }
    }

    /// All families in the order of their names.
    func text() -> String {
        let snapshot = families.withLock { $0 }
        var text = ""
        for name in snapshot.keys.sorted() {
            let family = snapshot[name]!
            text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
            let values = family.values.isEmpty ? ["": 0] : family.values
            for key in values.keys.sorted() {
                text += "\(name)\(key) \(Self.number(values[key]!))\n"
            }
        }
        return text
    }

    private static func key(_ labels: [(String, String)]) -> String {
        guard !labels.isEmpty else { return "" }
        let pairs = labels.map { name, value in "\(name)=\"\(escaped(value))\"" }
        return "{" + pairs.joined(separator: ",") + "}"
    }

    private static func escaped(_ value: String) -> String {
        var escaped = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }
}
