import Multiformats

/// What a command line names: a CID and perhaps a path below it, with or without `/ipfs/` before.
struct ContentPath {
    let root: CID
    let names: [[UInt8]]

    init(_ text: String) throws {
        // Not by characters: a slash before a combining mark is none.
        var parts = text.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init)[...]
        if text.utf8.starts(with: "ipfs://".utf8) { parts = parts.dropFirst() }
        if text.utf8.starts(with: "/ipfs/".utf8) || parts.first == "ipfs" {
            parts = parts.dropFirst()
        }
        guard let first = parts.first else {
            throw CommandOutcome(.local, "'\(text)' names nothing; give a CID, or CID/path")
        }
        do {
            root = try CID(String(first))
        } catch {
            throw CommandOutcome(
                .local, "'\(first)' is not a CID: \(error); check it for typing errors")
        }
        names = parts.dropFirst().map { Array($0.utf8) }
        guard names.allSatisfy({ $0 != [0x2e] && $0 != [0x2e, 0x2e] }) else {
            throw CommandOutcome(.local, "'\(text)' contains '.' or '..'; give the plain path")
        }
    }

    /// What the content is called where nobody says otherwise.
    var lastName: [UInt8] { names.last ?? Array(root.description.utf8) }
}
