import Multiformats
import ShardPlanner

/// Why bytes are not a command, an outcome or a row of the state.
package enum WireError: Error, Equatable, Sendable, CustomStringConvertible {
    case malformed(CBORError)
    /// Written by a newer program.
    case newerVersion(what: String, found: UInt64, newest: UInt64)
    case unknownTag(what: String, tag: UInt64)
    case missingField(what: String, field: String)
    case unknownField(what: String, field: String)
    case badValue(what: String)

    package var description: String {
        switch self {
        case .malformed(let error): "not DAG-CBOR: \(error)"
        case .newerVersion(let what, let found, let newest):
            "\(what) has format version \(found), this program reads up to \(newest); "
                + "upgrade this peer"
        case .unknownTag(let what, let tag):
            "\(what) number \(tag) does not exist in this format version"
        case .missingField(let what, let field): "\(what) has no field \"\(field)\""
        case .unknownField(let what, let field): "\(what) has an unknown field \"\(field)\""
        case .badValue(let what): "\(what) has a value of the wrong kind or range"
        }
    }
}

/// A value with one canonical form in commands and rows.
protocol WireValue {
    var wire: CBOR { get }
    init(wire: CBOR) throws(WireError)
}

/// Writes a map of named fields; optional ones are left out when they are nil.
struct FieldWriter {
    private var entries: [CBOR.Entry] = []

    mutating func put(_ key: String, _ value: some WireValue) {
        entries.append(CBOR.Entry(key, value.wire))
    }

    mutating func put(_ key: String, optional value: (some WireValue)?) {
        if let value { put(key, value) }
    }

    mutating func put(_ key: String, bytes: [UInt8]) {
        entries.append(CBOR.Entry(key, .bytes(bytes)))
    }

    var wire: CBOR { .map(entries) }
}

/// Reads a map of named fields; `finish` refuses the ones nobody asked for.
struct FieldReader {
    private let what: String
    private var entries: [CBOR.Entry]

    init(_ wire: CBOR, _ what: String) throws(WireError) {
        guard case .map(let entries) = wire else { throw .badValue(what: what) }
        self.what = what
        self.entries = entries
    }

    mutating func take<V: WireValue>(_ key: String) throws(WireError) -> V {
        guard let value = remove(key) else { throw .missingField(what: what, field: key) }
        return try V(wire: value)
    }

    mutating func takeOptional<V: WireValue>(_ key: String) throws(WireError) -> V? {
        guard let value = remove(key) else { return nil }
        return try V(wire: value)
    }

    /// A number from 0 up.
    mutating func takeCount(_ key: String) throws(WireError) -> Int {
        let value: Int = try take(key)
        guard value >= 0 else { throw .badValue(what: "\(what).\(key)") }
        return value
    }

    mutating func takeBytes(_ key: String) throws(WireError) -> [UInt8] {
        guard let value = remove(key) else { throw .missingField(what: what, field: key) }
        guard let bytes = value.bytesValue else { throw .badValue(what: "\(what).\(key)") }
        return bytes
    }

    func finish() throws(WireError) {
        guard let first = entries.first else { return }
        throw .unknownField(what: what, field: String(decoding: first.key, as: UTF8.self))
    }

    private mutating func remove(_ key: String) -> CBOR? {
        guard let index = entries.firstIndex(where: { $0.key.elementsEqual(key.utf8) }) else {
            return nil
        }
        return entries.remove(at: index).value
    }
}

/// Reads a tagged value's arguments by position.
struct ArgumentReader {
    private let what: String
    private let items: [CBOR]
    private var position = 0

    init(_ items: some Sequence<CBOR>, _ what: String) {
        self.items = Array(items)
        self.what = what
    }

    mutating func take<V: WireValue>() throws(WireError) -> V {
        guard position < items.count else {
            throw .missingField(what: what, field: String(position))
        }
        defer { position += 1 }
        return try V(wire: items[position])
    }

    func finish() throws(WireError) {
        guard position == items.count else {
            throw .unknownField(what: what, field: String(position))
        }
    }
}

enum Wire {
    static func decode(_ bytes: [UInt8]) throws(WireError) -> CBOR {
        do {
            return try CBOR(decoding: bytes)
        } catch {
            throw .malformed(error)
        }
    }
}
