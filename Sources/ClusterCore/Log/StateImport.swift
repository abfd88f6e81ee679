import Foundation
import Multiformats
import Pinset

/// Reads the lines of a `StateExport`, one at a time.
package struct StateImport {
    private var lineNumber = 0
    private var isBegun = false
    private var rows: [StateRow] = []
    private var imported: PinsetState?

    package init() {}

    /// No row is longer than the largest command in base64, by a wide margin.
    private static let lineByteLimit = 16 << 20

    private struct Line: Decodable {
        var format: String?
        var version: Int?
        var row: String?
        var key: String?
        var value: String?
        var end: String?
        var rows: Int?
        var digest: String?
    }

    /// Takes the next line, with or without its line feed.
    package mutating func add(_ bytes: [UInt8]) throws(StateImportError) {
        lineNumber += 1
        guard imported == nil else { throw .lineAfterEnd(lineNumber: lineNumber) }
        guard bytes.count <= Self.lineByteLimit else { throw malformed("it is too long") }
        let line: Line
        do {
            line = try JSONDecoder().decode(Line.self, from: Data(bytes))
        } catch {
            throw malformed("it is not the JSON of an export")
        }
        if !isBegun {
            try begin(line)
        } else if line.end != nil {
            try end(line)
        } else {
            try addRow(line)
        }
    }

    /// The state, when the end has been read and the digest is that of the rows.
    package func finish() throws(StateImportError) -> PinsetState {
        guard let imported else { throw .cutShort(lineCount: lineNumber) }
        return imported
    }

    private mutating func begin(_ line: Line) throws(StateImportError) {
        guard line.format == StateExport.formatName, let version = line.version else {
            throw malformed("an export begins with its format")
        }
        guard version <= StateExport.formatVersion else {
            throw .newerFormat(found: version, known: StateExport.formatVersion)
        }
        isBegun = true
    }

    private mutating func addRow(_ line: Line) throws(StateImportError) {
        guard let table = StateTable.allCases.first(where: { $0.name == line.row }),
            let key = line.key.flatMap(HexText.bytes),
            let value = line.value.flatMap({ Data(base64Encoded: $0) })
        else { throw malformed("it is not a row") }
        rows.append(StateRow(table: table, key: key, value: Array(value)))
    }

    private mutating func end(_ line: Line) throws(StateImportError) {
        guard line.end == StateExport.formatName, line.rows == rows.count else {
            throw .cutShort(lineCount: lineNumber)
        }
        let state: PinsetState
        do {
            state = try PinsetState(rows: rows)
        } catch {
            throw .refused(cause: error)
        }
        let digest = HexText.text(state.digest())
        guard line.digest == digest else {
            throw .digestDiffers(written: line.digest ?? "none", computed: digest)
        }
        rows = []
        imported = state
    }

    private func malformed(_ finding: String) -> StateImportError {
        .malformed(lineNumber: lineNumber, finding: finding)
    }
}

/// Why an export is not taken.
package enum StateImportError: Error, Equatable, Sendable, CustomStringConvertible {
    case malformed(lineNumber: Int, finding: String)
    case newerFormat(found: Int, known: Int)
    case lineAfterEnd(lineNumber: Int)
    case cutShort(lineCount: Int)
    /// The rows make no state.
    case refused(cause: WireError)
    case digestDiffers(written: String, computed: String)

    package var description: String {
        switch self {
        case .malformed(let number, let finding):
            "line \(number) of the export is damaged: \(finding); take another export"
        case .newerFormat(let found, let known):
            """
            the export has format version \(found), this program reads up to \(known); use the \
            newer program that wrote it
            """
        case .lineAfterEnd(let number):
            "line \(number) follows the end of the export; import one export at a time"
        case .cutShort(let count):
            "the export is cut short, it has \(count) lines and rows are missing; take another one"
        case .refused(let cause):
            "the rows of the export make no state: \(cause)"
        case .digestDiffers(let written, let computed):
            """
            the rows of the export have digest \(computed), it says \(written); it was changed, \
            take another one
            """
        }
    }
}
