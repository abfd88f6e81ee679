import HTTPTypes
import IngestAPI
import Multiformats
import Pinset

extension HTTPField.Name {
    /// Where the next page of a list begins, to be given as `after`.
    static let nextPage = HTTPField.Name("X-Next-After")!
}

/// The query of a list of pins: `filter`, `limit`, `after`, `cids`.
struct ListQuery: Sendable {
    var types: Set<PinType>
    var limit: Int
    var after: PinCursor?
    var cids: [CID]?
    private let maximumLimit: Int

    init(types: Set<PinType>, limit: Int) {
        self.types = types
        self.limit = limit
        maximumLimit = limit
    }

    mutating func read(_ query: [QueryItem]) throws {
        for item in query {
            let value = item.value ?? ""
            switch item.name {
            case "filter": types = try Self.types(value)
            case "limit":
                guard let number = Int(value), (1...maximumLimit).contains(number) else {
                    throw Problem(
                        .badParameter,
                        "limit '\(value.prefix(40))' is not a number from 1 to \(maximumLimit)")
                }
                limit = number
            case "after":
                guard let cursor = PinCursor(value) else {
                    throw Problem(
                        .badParameter, "after '\(value.prefix(80))' is not what X-Next-After said")
                }
                after = cursor
            case "cids":
                cids = try value.split(separator: ",").map { try CID(String($0)) }
            case "local", "stream-channels", "stream":
                break  // sent by ipfs-cluster's clients; one peer answers alike either way
            default:
                let known = ["filter", "limit", "after", "cids", "local"]
                let nearest = EditDistance.nearest(to: item.name, among: known) ?? known[0]
                throw Problem(
                    .badParameter,
                    "unknown parameter '\(item.name.prefix(40))'; did you mean '\(nearest)'?")
            }
        }
    }

    private static func types(_ text: String) throws -> Set<PinType> {
        var types: Set<PinType> = []
        for word in text.split(separator: ",") {
            if word == "all" {
                types.formUnion(PinType.allCases)
            } else if let type = PinType(rawValue: String(word)) {
                types.insert(type)
            } else if PinState(rawValue: String(word)) != nil {
                // A state of ipfs-cluster's status lists: all that is pinned here is in it or not.
                if word == "sharded" || word == "pinned" { types.insert(.meta) }
            } else {
                let known = PinType.allCases.map(\.rawValue).joined(separator: ", ")
                throw Problem(
                    .badParameter,
                    "filter '\(word.prefix(40))' is not known; allowed are all, \(known)")
            }
        }
        return types
    }
}
