import HTTPTypes
import Importer
import IngestAPI
import Multiformats

/// What form of content a request wants (trustless gateway specification).
struct ContentQuery: Sendable {
    enum Format: Sendable {
        case plain, raw, archive
    }

    private(set) var format = Format.plain
    private(set) var scope = DAGWalk.Scope.all
    private(set) var listsDuplicates = false
    /// Name for saving, without characters that could end the header's quotes.
    private(set) var fileName: String?
    private var entityBytes: EntityBytes?
    private var scopeName = "all"

    init(_ items: [QueryItem], accept: String?) throws {
        if let accept { try readAccept(accept) }
        for item in items { try read(item) }
        if entityBytes != nil || scopeName == "entity" {
            scope = .entity(entityBytes)
        } else {
            scope = scopeName == "block" ? .block : .all
        }
    }

    private mutating func readAccept(_ accept: String) throws {
        for option in accept.split(separator: ",") {
            let parts = option.split(separator: ";").map { $0.filter { $0 != " " }.lowercased() }
            switch parts.first {
            case "application/vnd.ipld.raw":
                format = .raw
                return
            case "application/vnd.ipld.car":
                format = .archive
                for parameter in parts.dropFirst() { try readArchiveParameter(parameter) }
                return
            default: continue
            }
        }
    }

    private mutating func readArchiveParameter(_ parameter: String) throws {
        switch parameter {
        case "dups=y": listsDuplicates = true
        case "dups=n": listsDuplicates = false
        case "version=1", "order=dfs", "order=unk": break
        case let other where other.hasPrefix("version=") || other.hasPrefix("order="):
            throw Problem(
                .notAcceptable,
                "archives come with version=1 and order=dfs, not '\(other.prefix(40))'")
        default: break
        }
    }

    private mutating func read(_ item: QueryItem) throws {
        let value = item.value ?? ""
        switch item.name {
        case "format":
            switch value {
            case "raw": format = .raw
            case "car": format = .archive
            default:
                throw Problem(
                    .badParameter,
                    "format '\(value.prefix(40))' is not known; allowed are raw and car")
            }
        case "dag-scope":
            guard ["block", "entity", "all"].contains(value) else {
                throw Problem(
                    .badParameter,
                    "dag-scope '\(value.prefix(40))' is not known; allowed are block, entity and all"
                )
            }
            scopeName = value
        case "entity-bytes": entityBytes = try EntityBytes(parsing: value)
        case "car-dups": try readArchiveParameter("dups=\(value)")
        case "car-order": try readArchiveParameter("order=\(value)")
        case "car-version": try readArchiveParameter("version=\(value)")
        case "filename":
            let safe = value.unicodeScalars.filter {
                $0.isASCII && $0.value >= 0x20 && $0.value != 0x7F && $0 != "\"" && $0 != "\\"
            }
            fileName = String(String.UnicodeScalarView(safe.prefix(200)))
        default: break  // gateways ignore what they do not know
        }
    }

    /// Equal for equal answers.
    func etag(of cid: CID) -> String {
        switch format {
        case .raw: "\"\(cid).raw\""
        case .plain: "\"\(cid)\""
        case .archive:
            "W/\"\(cid).car.\(scopeName)-\(entityBytes.map { "\($0.from):\($0.to ?? -1)" } ?? "")"
                + "-\(listsDuplicates ? "y" : "n")\""
        }
    }

    /// Whether an If-None-Match names this entity tag; the comparison is the weak one.
    static func matches(_ etag: String, _ field: String) -> Bool {
        let plain = etag.hasPrefix("W/") ? String(etag.dropFirst(2)) : etag
        return field.split(separator: ",").contains { candidate in
            let name = candidate.drop { $0 == " " }
            return name == "*" || name == plain || name == "W/\(plain)"
        }
    }
}

/// The bytes that a `Range` field selects; anything but one satisfiable range means all of them.
struct RangeSelection {
    let range: Range<Int>
    let byteCount: Int
    let isPartial: Bool

    /// - Throws: A 416 for a range that begins behind the end.
    init(_ field: String?, byteCount: Int) throws {
        self.byteCount = byteCount
        switch ByteRange(field, byteCount: byteCount) {
        case .all: (range, isPartial) = (0..<byteCount, false)
        case .part(let part): (range, isPartial) = (part, true)
        case .unsatisfiable:
            throw Problem(
                .rangeNotSatisfiable,
                "range '\(field?.prefix(60) ?? "")' is outside the \(byteCount) bytes there are",
                rangeByteCount: byteCount)
        }
    }

    var status: HTTPResponse.Status { isPartial ? .partialContent : .ok }

    func headers(type: String) -> HTTPFields {
        var headers: HTTPFields = [.contentType: type, .acceptRanges: "bytes"]
        if isPartial {
            headers[.contentRange] =
                "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(byteCount)"
        }
        return headers
    }
}
