import Multiformats

/// Why lines are not a snapshot.
package enum SnapshotError: Error, Equatable, Sendable, CustomStringConvertible {
    case malformedLine(number: Int, reason: String)
    case newerVersion(found: UInt64, newest: UInt64)
    /// The last line, which counts and seals the others, is not there.
    case cut(rowCount: Int)
    case damaged(digest: String, expected: String)
    case badState(WireError)
    /// The rows contradict each other.
    case unsound(firstFinding: String)

    package var description: String {
        switch self {
        case .malformedLine(let number, let reason): "line \(number) of the snapshot: \(reason)"
        case .newerVersion(let found, let newest):
            "the snapshot has format version \(found), this program reads up to \(newest); "
                + "upgrade this peer"
        case .cut(let rowCount):
            "the snapshot ends after \(rowCount) rows without its last line; export it again"
        case .damaged(let digest, let expected):
            "the snapshot's rows have digest \(digest), its last line says \(expected); export "
                + "it again"
        case .badState(let error): "the snapshot's rows make no state: \(error)"
        case .unsound(let finding): "the snapshot contradicts itself: \(finding)"
        }
    }
}

/// A state as lines of JSON: a head with the format version, one line per row, an end with the
/// number of rows and the state's digest.
///
///     {"format":"ingestd-state","version":1}
///     {"table":"peer","key":"00ff…","value":{"name":"a",…}}
///     {"rows":1,"digest":"9f86…"}
package enum StateSnapshot {
    private static let formatName = "ingestd-state"

    /// Hands every line, without its line feed, to `body`.
    package static func write<E: Error>(
        _ state: PinsetState, _ body: ([UInt8]) throws(E) -> Void
    ) throws(E) {
        let head = CBOR.map([
            CBOR.Entry("format", .string(formatName)),
            CBOR.Entry("version", .unsigned(PinsetState.formatVersion)),
        ])
        try body(line(head))
        var rowCount = 0
        try state.forEachRow { (row) throws(E) in
            try body(line(row))
            rowCount += 1
        }
        let end = CBOR.map([
            CBOR.Entry("rows", rowCount.wire),
            CBOR.Entry("digest", .string(Hexadecimal.text(state.digest()))),
        ])
        try body(line(end))
    }

    /// Restores a state from its lines, checking their number, the digest and the state's laws.
    package static func read(_ lines: some Sequence<[UInt8]>) throws(SnapshotError) -> PinsetState {
        var rows: [StateRow] = []
        var end: (rowCount: Int, digest: String)?
        for (index, text) in lines.enumerated() {
            let number = index + 1
            guard let value = DAGJSONParser.parse(text), end == nil else {
                throw .malformedLine(
                    number: number, reason: end == nil ? "not DAG-JSON" : "behind the end")
            }
            if index == 0 {
                try checkHead(value)
            } else if value["table"] != nil {
                rows.append(try row(value, number))
            } else {
                end = try self.end(value, number)
            }
        }
        guard let end, end.rowCount == rows.count else { throw .cut(rowCount: rows.count) }
        let state: PinsetState
        do {
            state = try PinsetState(rows: rows)
        } catch {
            throw .badState(error)
        }
        let digest = Hexadecimal.text(state.digest())
        guard digest == end.digest else { throw .damaged(digest: digest, expected: end.digest) }
        if let finding = state.checkInvariants().first { throw .unsound(firstFinding: finding) }
        return state
    }

    private static func line(_ value: CBOR) -> [UInt8] {
        var text: [UInt8] = []
        DAGJSON.append(value, to: &text)
        return text
    }

    private static func line(_ row: StateRow) -> [UInt8] {
        let value: CBOR
        do {
            value = try Wire.decode(row.value)
        } catch {
            preconditionFailure("a row of this state cannot be read: \(error)")
        }
        return line(
            .map([
                CBOR.Entry("table", .string(row.table.name)),
                CBOR.Entry("key", .string(Hexadecimal.text(row.key))),
                CBOR.Entry("value", value),
            ]))
    }

    private static func checkHead(_ value: CBOR) throws(SnapshotError) {
        guard value["format"]?.stringValue == formatName,
            let version = value["version"]?.unsignedValue
        else { throw .malformedLine(number: 1, reason: "not the head of a state snapshot") }
        guard version <= PinsetState.formatVersion else {
            throw .newerVersion(found: version, newest: PinsetState.formatVersion)
        }
    }

    private static func row(_ value: CBOR, _ number: Int) throws(SnapshotError) -> StateRow {
        let name = value["table"]?.stringValue
        guard let table = StateTable.allCases.first(where: { $0.name == name }),
            let key = value["key"]?.stringValue.flatMap(Hexadecimal.bytes),
            let content = value["value"], value.mapValue?.count == 3
        else { throw .malformedLine(number: number, reason: "not a row of a known table") }
        return StateRow(table: table, key: key, value: content.encoded)
    }

    private static func end(
        _ value: CBOR, _ number: Int
    ) throws(SnapshotError) -> (rowCount: Int, digest: String) {
        guard let count = value["rows"]?.unsignedValue.flatMap(Int.init(exactly:)),
            let digest = value["digest"]?.stringValue
        else { throw .malformedLine(number: number, reason: "neither a row nor the end") }
        return (count, digest)
    }
}
