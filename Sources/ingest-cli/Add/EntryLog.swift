import ImportPipeline
import Importer
import IngestAPI
import Multiformats

/// Which lines an add prints.
enum AddOutputStyle {
    /// `added CID path` for every entry.
    case full
    /// CIDs of all entries.
    case quiet
    /// The CID of the root.
    case rootOnly
    /// One JSON object an entry.
    case json
}

/// Prints entries as they are done. The last one, the root, waits until it is known to be stored.
final class EntryLog: BlockSink {
    private let style: AddOutputStyle
    private var held: ImportedEntry?

    init(_ style: AddOutputStyle) { self.style = style }

    func put(_ cid: CID, _ block: BlockBytes) {}

    func entryDone(_ entry: ImportedEntry) throws {
        if let held, style != .rootOnly { try print(held) }
        held = entry
    }

    /// Prints the root; nothing else must have been held back.
    func close(_ root: ImportedEntry) throws {
        try closeBefore(root)
        try print(root)
    }

    /// Leaves only the root to be printed.
    func closeBefore(_ root: ImportedEntry) throws {
        if let held, style != .rootOnly, held != root { try print(held) }
        held = nil
    }

    private func print(_ entry: ImportedEntry) throws {
        try Console.shared.print(Self.line(entry, style))
    }

    static func line(_ entry: ImportedEntry, _ style: AddOutputStyle) -> [UInt8] {
        var line: [UInt8] = []
        switch style {
        case .full:
            line += Array("added \(entry.cid) ".utf8) + entry.path + [UInt8(ascii: "\n")]
        case .quiet, .rootOnly:
            line += Array("\(entry.cid)\n".utf8)
        case .json:
            AddedOutput.appendLine(
                name: entry.path, cid: entry.cid, size: entry.cumulativeByteCount, to: &line)
        }
        return line
    }
}
