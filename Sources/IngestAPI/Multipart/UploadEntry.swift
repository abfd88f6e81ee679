import Importer

/// One file, directory or symlink of a form, by the conventions of Kubo's `add`.
///
/// Kubo's clients put the path into `filename`, escaped as in a query string, and mode and time
/// into the field name: `name="file?mode=0644&mtime=1700000000&mtime-nsecs=5"`. Names of curl and
/// of browsers go the same way, so a `+` in them becomes a space, as in Kubo; a name that
/// cannot be unescaped is taken as it is, and so is one given as `filename*`.
package struct UploadEntry: Equatable, Sendable {
    package var kind: EntryKind
    /// Without components when the entry has no name, as what `ipfs add` reads from stdin.
    package var path: ImportPath
    package var metadata: EntryMetadata

    package init(kind: EntryKind, path: ImportPath, metadata: EntryMetadata = .none) {
        self.kind = kind
        self.path = path
        self.metadata = metadata
    }

    /// Reads what a part's header says.
    ///
    /// - Throws: `plainField` for a field that is neither named "file" nor has a file name,
    ///   `path`, `mode`, `mtime`, `mtimeNanoseconds` or `fieldQuery` for one that cannot be read.
    package init(_ header: PartHeader) throws(UploadEntryError) {
        let query = header.fieldName.firstIndex(of: UInt8(ascii: "?"))
        let fieldName = header.fieldName[..<(query ?? header.fieldName.endIndex)]
        guard header.filename != nil || fieldName.elementsEqual("file".utf8) else {
            throw .plainField(name: fieldName.shown)
        }
        kind = header.kind
        path = try Self.path(of: header)
        metadata =
            try query.map { query throws(UploadEntryError) in
                try Self.metadata(inQuery: header.fieldName[(query + 1)...], kind: header.kind)
            } ?? .none
    }

    private static func path(of header: PartHeader) throws(UploadEntryError) -> ImportPath {
        let written = header.filename ?? []
        let raw =
            header.isFilenameDecoded
            ? written : PercentCoding.decode(written, plusIsSpace: true) ?? written
        do {
            return try ImportPath.cleaning(raw)
        } catch {
            throw .path(error)
        }
    }

    private static func metadata(
        inQuery query: ArraySlice<UInt8>, kind: EntryKind
    ) throws(UploadEntryError) -> EntryMetadata {
        var mode: UInt32?
        // A query without a time means 1970 to Kubo, not "no time".
        var mtime = UnixFSTime(seconds: 0)
        for pair in query.split(separator: UInt8(ascii: "&")) {
            let halves = pair.split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let written = halves.count == 2 ? halves[1] : []
            guard let value = PercentCoding.decode(written, plusIsSpace: true) else {
                throw .fieldQuery(pair.shown)
            }
            if halves[0].elementsEqual("mode".utf8) {
                mode = try self.mode(value)
            } else if halves[0].elementsEqual("mtime".utf8) {
                guard let seconds = Int64(value.shown) else { throw .mtime(value.shown) }
                mtime.seconds = seconds
            } else if halves[0].elementsEqual("mtime-nsecs".utf8) {
                guard let nanoseconds = UInt32(value.shown), nanoseconds < 1_000_000_000 else {
                    throw .mtimeNanoseconds(value.shown)
                }
                mtime.nanoseconds = nanoseconds
            }
        }
        return EntryMetadata(mode: mode, mtime: mtime)
    }

    /// Go's `FileMode` in octal; 0, which in Go means "none", gives nil.
    private static func mode(_ value: [UInt8]) throws(UploadEntryError) -> UInt32? {
        guard value.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "7")).contains),
            let goMode = UInt32(value.shown, radix: 8)
        else { throw .mode(value.shown) }
        return goMode == 0 ? nil : GoFileMode.unixPermissions(goMode)
    }
}

/// Why a well-formed part is no entry of an upload.
package enum UploadEntryError: Error, CustomStringConvertible {
    case plainField(name: String)
    case fieldQuery(String)
    case mode(String)
    case mtime(String)
    case mtimeNanoseconds(String)
    case path(ImportError)

    package var description: String {
        switch self {
        case .plainField(let name):
            "form field “\(name)” has no file name, so it is no file; options go into the query "
                + "of the URL, files into parts with a filename or in a field named file"
        case .fieldQuery(let pair):
            "“\(pair)” in the field name is not percent-encoded correctly"
        case .mode(let value):
            "mode “\(value)” is not an octal number of at most 32 bits, such as 0644"
        case .mtime(let value):
            "mtime “\(value)” is not a number of seconds since 1970 that fits 64 bits"
        case .mtimeNanoseconds(let value):
            "mtime-nsecs “\(value)” is not a number from 0 to 999999999"
        case .path(let error):
            error.description
        }
    }
}

/// Go's `os.FileMode`, whose type bits and special bits are not those of Unix.
package enum GoFileMode {
    private static let directory: UInt32 = 1 << 31
    private static let symlink: UInt32 = 1 << 27
    private static let special: [(go: UInt32, unix: UInt32)] = [
        (1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000),
    ]

    /// Permission, setuid, setgid and sticky bits as Unix has them; type bits are dropped.
    package static func unixPermissions(_ goMode: UInt32) -> UInt32 {
        special.reduce(goMode & 0o777) { goMode & $1.go == 0 ? $0 : $0 | $1.unix }
    }

    /// What Go's client sends for an entry with these permission bits.
    package static func goMode(_ kind: EntryKind, unixPermissions mode: UInt32) -> UInt32 {
        let type: UInt32 =
            switch kind {
            case .file: 0
            case .directory: directory
            case .symlink: symlink
            }
        return special.reduce(type | mode & 0o777) { mode & $1.unix == 0 ? $0 : $0 | $1.go }
    }
}

extension Sequence<UInt8> {
    /// For people: malformed UTF-8 replaced, cut after 80 bytes.
    var shown: String {
        let bytes = Array(prefix(81))
        let text = String(decoding: bytes.prefix(80), as: UTF8.self)
        return bytes.count > 80 ? text + "…" : text
    }
}
