import Chunker

/// Why import options make no sense. Each description names the option, the value, what is
/// allowed and what to do.
package enum ImportOptionsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A word that is not in the option's list.
    case unknown(option: String, value: String, allowed: [String])
    /// A value that the option does not take.
    case outOfRange(option: String, value: String, allowed: String, advice: String)
    /// Two options that exclude each other.
    case contradiction(option: String, value: String, other: String, advice: String)
    /// A chunker that cannot be read or would make blocks beyond the limit.
    case chunker(value: String, ChunkerSpecError)

    /// The option's name as in a query or on the command line.
    package var option: String {
        switch self {
        case .unknown(let option, _, _), .outOfRange(let option, _, _, _),
            .contradiction(let option, _, _, _):
            option
        case .chunker: "chunker"
        }
    }

    package var description: String {
        switch self {
        case .unknown(let option, let value, let allowed):
            "\(option)=\(value) is not known; choose one of \(allowed.joined(separator: ", "))"
        case .outOfRange(let option, let value, let allowed, let advice):
            "\(option)=\(value) is not possible; allowed: \(allowed); \(advice)"
        case .contradiction(let option, let value, let other, let advice):
            "\(option)=\(value) does not go with \(other); \(advice)"
        case .chunker(let value, let reason):
            "chunker=\(value) is not possible: \(reason)"
        }
    }
}
