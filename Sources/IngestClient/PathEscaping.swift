import IngestAPI

/// A path component as URLs write it.
func escaped(_ component: String) -> String { escaped(Array(component.utf8)) }

func escaped(_ component: [UInt8]) -> String {
    var text: [UInt8] = []
    PercentCoding.appendQueryEscaped(component, to: &text)
    // In a query a space is a plus; in a path a plus is a plus.
    return String(decoding: text, as: UTF8.self).split(
        separator: "+", omittingEmptySubsequences: false
    ).joined(separator: "%20")
}
