/// Which entries of a tree are left out, by rules as in a `.gitignore`.
///
/// Names are bytes. The last rule that matches an entry decides; what is in a directory that is
/// left out is never asked about, so it cannot be taken in again.
struct IgnoreRules {
    private struct Rule {
        /// One pattern for each name of the path; `nil` stands for any number of names.
        var components: [[UInt8]?]
        var isNegated: Bool
        var isForDirectories: Bool
    }

    private var rules: [Rule] = []

    var isEmpty: Bool { rules.isEmpty }

    /// Adds the rules in a file, one a line.
    mutating func add(contents: [UInt8]) {
        for line in contents.split(separator: UInt8(ascii: "\n")) { add(line: Array(line)) }
    }

    /// Adds one rule; comments and blank lines are none.
    mutating func add(line: [UInt8]) {
        var text = Self.trimmed(line)
        guard let first = text.first, first != UInt8(ascii: "#") else { return }
        let isNegated = first == UInt8(ascii: "!")
        if isNegated { text.removeFirst() }
        let isForDirectories = text.last == UInt8(ascii: "/")
        while text.last == UInt8(ascii: "/") { text.removeLast() }
        guard !text.isEmpty else { return }
        // A slash at the start or in the middle ties the rule to the top.
        let isAnchored = text.contains(UInt8(ascii: "/"))
        var components: [[UInt8]?] = text.split(separator: UInt8(ascii: "/")).map {
            $0.elementsEqual("**".utf8) ? nil : Array($0)
        }
        if !isAnchored { components.insert(nil, at: 0) }
        // "a/**" means what is in a, not a itself.
        if components.last == .some(nil) { components.append(Array("*".utf8)) }
        rules.append(
            Rule(
                components: components, isNegated: isNegated, isForDirectories: isForDirectories))
    }

    /// Whether an entry is left out.
    ///
    /// - Parameter path: Names from the top of the tree down, the entry's last.
    func ignores(_ path: [[UInt8]], isDirectory: Bool) -> Bool {
        for rule in rules.reversed() where isDirectory || !rule.isForDirectories {
            if Self.matches(rule.components[...], path[...]) { return !rule.isNegated }
        }
        return false
    }

    /// Without the carriage return of a foreign line end and blanks that no backslash protects.
    private static func trimmed(_ line: [UInt8]) -> [UInt8] {
        var text = line
        if text.last == UInt8(ascii: "\r") { text.removeLast() }
        while let last = text.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") {
            if text.dropLast().last == UInt8(ascii: "\\") { break }
            text.removeLast()
        }
        return text
    }

    private static func matches(
        _ patterns: ArraySlice<[UInt8]?>, _ names: ArraySlice<[UInt8]>
    ) -> Bool {
        guard let first = patterns.first else { return names.isEmpty }
        let rest = patterns.dropFirst()
        if let pattern = first {
            guard let name = names.first, NamePattern.matches(pattern[...], name[...]) else {
                return false
            }
            return matches(rest, names.dropFirst())
        }
        return (names.startIndex...names.endIndex).contains { matches(rest, names[$0...]) }
    }
}

/// Shell patterns for one name: `*`, `?`, `[a-z]`, `[!a-z]` and `\` before what is meant literally.
enum NamePattern {
    static func matches(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        var (pattern, name) = (pattern, name)
        // Where to go on when the present try fails: the last star takes one byte more.
        var retry: (pattern: ArraySlice<UInt8>, name: ArraySlice<UInt8>)?
        while true {
            if pattern.first == UInt8(ascii: "*") {
                pattern = pattern.dropFirst()
                retry = (pattern, name)
                continue
            }
            if pattern.isEmpty && name.isEmpty { return true }
            if let byte = name.first, let after = matchedOne(pattern, byte) {
                pattern = after
                name = name.dropFirst()
                continue
            }
            guard let last = retry, !last.name.isEmpty else { return false }
            retry = (last.pattern, last.name.dropFirst())
            (pattern, name) = (last.pattern, last.name.dropFirst())
        }
    }

    /// The pattern behind its first element if that matches `byte`.
    private static func matchedOne(
        _ pattern: ArraySlice<UInt8>, _ byte: UInt8
    ) -> ArraySlice<UInt8>? {
        switch pattern.first {
        case nil: return nil
        case UInt8(ascii: "?"): return pattern.dropFirst()
        case UInt8(ascii: "["):
            if let (isMatch, after) = matchedSet(pattern.dropFirst(), byte) {
                return isMatch ? after : nil
            }
            return byte == UInt8(ascii: "[") ? pattern.dropFirst() : nil
        case UInt8(ascii: "\\"):
            guard let literal = pattern.dropFirst().first else { return nil }
            return literal == byte ? pattern.dropFirst(2) : nil
        case let literal?:
            return literal == byte ? pattern.dropFirst() : nil
        }
    }

    /// A set such as `a-z]`; nil when it never ends, and its bracket is a plain one.
    private static func matchedSet(
        _ pattern: ArraySlice<UInt8>, _ byte: UInt8
    ) -> (isMatch: Bool, after: ArraySlice<UInt8>)? {
        var rest = pattern
        let isNegated = rest.first == UInt8(ascii: "!") || rest.first == UInt8(ascii: "^")
        if isNegated { rest = rest.dropFirst() }
        var isMatch = false
        var isFirst = true
        while let low = rest.first {
            rest = rest.dropFirst()
            if low == UInt8(ascii: "]") && !isFirst { return (isMatch != isNegated, rest) }
            isFirst = false
            var high = low
            if rest.first == UInt8(ascii: "-"), let end = rest.dropFirst().first,
                end != UInt8(ascii: "]")
            {
                high = end
                rest = rest.dropFirst(2)
            }
            if low <= byte && byte <= high { isMatch = true }
        }
        return nil
    }
}
