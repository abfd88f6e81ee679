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

/// A state as lines of JSON: a head with the format version, one line per row in order of table and key,
/// an end with the number of rows and the state's digest. Equal states give equal lines.
///
///     {"format":"ingestd-state","version":1}
///     {"table":"peer","key":"00ff…","value":{"name":"a",…}}
///     {"rows":1,"digest":"9f86…"}
package enum StateSnapshot {
    fileprivate static let formatName = "ingestd-state"

    /// Hands every line, without its line feed, to `body`.
    package static func write<E: Error>(
        _ state: PinsetState, _ body: ([UInt8]) throws(E) -> Void
    ) throws(E) {
        var writer = StateSnapshotWriter()
        try body(writer.head)
        try state.forEachRow { (row) throws(E) in
            let line: [UInt8]
            do {
                line = try writer.line(of: row)
            } catch {
                preconditionFailure("a row of this state cannot be read: \(error)")
            }
            try body(line)
        }
        try body(writer.end)
    }

    /// Restores a state from its lines, checking their number, the digest and the state's laws.
    package static func read(_ lines: some Sequence<[UInt8]>) throws(SnapshotError) -> PinsetState {
        var reader = StateSnapshotReader()
        for line in lines { try reader.add(line) }
        return try reader.finish()
    }
}

/// Writes the lines of a snapshot one by one, for rows that are not all in memory.
package struct StateSnapshotWriter {
    private var rowCount = 0
    private var digest = RowDigest()

    package init() {}

    /// The first line.
    package var head: [UInt8] {
        Self.line(
            .map([
                CBOR.Entry("format", .string(StateSnapshot.formatName)),
                CBOR.Entry("version", .unsigned(PinsetState.formatVersion)),
            ]))
    }

    /// The line of the next row; rows come in order of table and key.
    package mutating func line(of row: StateRow) throws(WireError) -> [UInt8] {
        rowCount += 1
        digest.add(row)
        return Self.line(
            .map([
                CBOR.Entry("table", .string(row.table.name)),
                CBOR.Entry("key", .string(Hexadecimal.text(row.key))),
                CBOR.Entry("value", try Wire.decode(row.value)),
            ]))
    }

    /// The last line, once all rows are written.
    package var end: [UInt8] {
        Self.line(
            .map([
                CBOR.Entry("rows", rowCount.wire),
                CBOR.Entry("digest", .string(Hexadecimal.text(digest.value))),
            ]))
    }

    private static func line(_ value: CBOR) -> [UInt8] {
        var text: [UInt8] = []
        DAGJSON.append(value, to: &text)
        return text
    }
}

/// Reads the lines of a snapshot one by one.
package struct StateSnapshotReader {
    private var lineCount = 0
    private var rows: [StateRow] = []
    private var end: (rowCount: Int, digest: String)?

    package init() {}

    /// Takes the next line, without its line feed.
    package mutating func add(_ text: [UInt8]) throws(SnapshotError) {
        lineCount += 1
        guard end == nil else { throw malformed("behind the end") }
        guard let value = DAGJSONParser.parse(text) else { throw malformed("not DAG-JSON") }
        if lineCount == 1 {
            try checkHead(value)
        } else if value["table"] != nil {
            rows.append(try row(value))
        } else {
            end = try end(value)
        }
    }

    /// The state, once its last line was read: number of rows, digest and the state's laws hold.
    package consuming func finish() throws(SnapshotError) -> PinsetState {
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

    private func checkHead(_ value: CBOR) throws(SnapshotError) {
        guard value["format"]?.stringValue == StateSnapshot.formatName,
            let version = value["version"]?.unsignedValue
        else { throw malformed("not the head of a state snapshot") }
        guard version <= PinsetState.formatVersion else {
            throw .newerVersion(found: version, newest: PinsetState.formatVersion)
        }
    }

    private func row(_ value: CBOR) throws(SnapshotError) -> StateRow {
        let name = value["table"]?.stringValue
        guard let table = StateTable.allCases.first(where: { $0.name == name }),
            let key = value["key"]?.stringValue.flatMap(Hexadecimal.bytes),
            let content = value["value"], value.mapValue?.count == 3
        else { throw malformed("not a row of a known table") }
        return StateRow(table: table, key: key, value: content.encoded)
    }

    private func end(_ value: CBOR) throws(SnapshotError) -> (rowCount: Int, digest: String) {
        guard let count = value["rows"]?.unsignedValue.flatMap(Int.init(exactly:)),
            let digest = value["digest"]?.stringValue
        else { throw malformed("neither a row nor the end") }
        return (count, digest)
    }

    private func malformed(_ reason: String) -> SnapshotError {
        .malformedLine(number: lineCount, reason: reason)
    }
}
