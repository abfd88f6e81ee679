/// Takes parameters out of a query one by one; what is left over at the end is unknown.
///
/// A parameter with an empty value counts as not given, as in ipfs-cluster, whose client sends all
/// of its parameters. One without an equals sign is a switch: `?wrap-with-directory`.
struct ParameterReader {
    private var items: [QueryItem]
    /// Names given with an empty value; they must be known all the same.
    private var emptyNames: [String]

    /// - Throws: `repeated` for a name that occurs twice: which one counts would be a guess.
    init(_ items: [QueryItem]) throws(ParameterError) {
        var names = Set<String>()
        for item in items {
            guard names.insert(item.name).inserted else { throw .repeated(name: item.name) }
        }
        self.items = items.filter { $0.value != "" }
        emptyNames = items.filter { $0.value == "" }.map(\.name)
    }

    /// Nothing may be left.
    ///
    /// - Parameter known: Every name of this path, to suggest one of them.
    func finish(known: [String]) throws(ParameterError) {
        let unknown = items.map(\.name) + emptyNames.filter { !known.contains($0) }
        guard let name = unknown.first else { return }
        throw .unknown(name: name, nearest: EditDistance.nearest(to: name, among: known))
    }

    mutating func text(_ name: String) throws(ParameterError) -> String? {
        guard let item = take(name) else { return nil }
        guard let value = item.value else {
            throw .invalid(name: name, value: "", expected: "a value after an equals sign")
        }
        return value
    }

    /// What Go's `strconv.ParseBool` takes.
    mutating func flag(_ name: String) throws(ParameterError) -> Bool? {
        guard let item = take(name) else { return nil }
        switch item.value {
        case nil, "1", "t", "T", "TRUE", "true", "True": return true
        case "0", "f", "F", "FALSE", "false", "False": return false
        case let value?: throw .invalid(name: name, value: value, expected: "true or false")
        }
    }

    /// Decimal digits with an optional minus sign, within the bounds of the type and `range`.
    mutating func number<Number: FixedWidthInteger>(
        _ name: String, in range: ClosedRange<Number> = .min ... .max
    ) throws(ParameterError) -> Number? {
        guard let value = try text(name) else { return nil }
        let digits =
            value.utf8.first == UInt8(ascii: "-") ? value.utf8.dropFirst() : value.utf8[...]
        guard digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
            let number = Number(value), range.contains(number)
        else {
            throw .invalid(
                name: name, value: value,
                expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Permission bits in octal, with or without leading zeros.
    mutating func octal(_ name: String) throws(ParameterError) -> UInt32? {
        guard let value = try text(name) else { return nil }
        guard value.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "7") }),
            let number = UInt32(value, radix: 8), number <= 0o7777
        else {
            throw .invalid(
                name: name, value: value, expected: "an octal number to 07777, such as 0644")
        }
        return number
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ name: String, _ type: Choice.Type = Choice.self
    ) throws(ParameterError) -> Choice? {
        guard let value = try text(name) else { return nil }
        guard let choice = Choice(rawValue: value) else {
            let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalid(name: name, value: value, expected: "one of \(names)")
        }
        return choice
    }

    /// Values between commas, blanks around them dropped.
    mutating func list(_ name: String) throws(ParameterError) -> [String] {
        guard let value = try text(name) else { return [] }
        return value.split(separator: ",", omittingEmptySubsequences: false).map { part in
            String(part.trimmingBlanks)
        }
    }

    /// Every item whose name begins with `prefix` and goes on, without the prefix. Empty values count.
    mutating func prefixed(_ prefix: String) -> [(key: String, value: String)] {
        let isTaken = { (name: String) in
            name.hasPrefix(prefix) && name.utf8.count > prefix.utf8.count
        }
        let taken = items.filter { isTaken($0.name) }.map { ($0.name, $0.value ?? "") }
        let empty = emptyNames.filter(isTaken).map { ($0, "") }
        items.removeAll { isTaken($0.name) }
        emptyNames.removeAll(where: isTaken)
        return (taken + empty).map { (String($0.dropFirst(prefix.count)), $1) }
    }

    private mutating func take(_ name: String) -> QueryItem? {
        items.firstIndex { $0.name == name }.map { items.remove(at: $0) }
    }
}

extension Substring {
    fileprivate var trimmingBlanks: Substring {
        var rest = drop { $0 == " " }
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}
