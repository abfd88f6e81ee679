import Importer

/// Why the parameters of a request were refused.
package enum ParameterError: Error, Equatable, CustomStringConvertible {
    case malformedQuery(String)
    /// No parameter has this name; `nearest` is the known one that differs least.
    case unknown(name: String, nearest: String?)
    case repeated(name: String)
    case invalid(name: String, value: String, expected: String)
    /// Two parameters that cannot both hold.
    case contradiction(String, String, advice: String)
    /// A known parameter whose value asks for something this service does not do.
    case unsupported(name: String, value: String, advice: String)
    case importOptions(ImportOptionsError)

    package var description: String {
        switch self {
        case .malformedQuery(let pair):
            "“\(pair)” in the query is not percent-encoded UTF-8 text"
        case .unknown(let name, let nearest?):
            "parameter “\(name.utf8.shown)” is not known; did you mean \(nearest)?"
        case .unknown(let name, nil):
            "parameter “\(name.utf8.shown)” is not known; the documentation of this path lists them"
        case .repeated(let name):
            "parameter \(name.utf8.shown) is given more than once"
        case .invalid(let name, let value, let expected):
            "\(name)=\(value.utf8.shown) is not possible; expected \(expected)"
        case .contradiction(let one, let other, let advice):
            "\(one) does not go with \(other); \(advice)"
        case .unsupported(let name, let value, let advice):
            "\(name)=\(value.utf8.shown) is not supported; \(advice)"
        case .importOptions(let error):
            error.description
        }
    }
}
