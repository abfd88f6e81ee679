/// Why a chunker spec was refused. `given` is the whole spec as it came.
package enum ChunkerSpecError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownChunker(given: String)
    case malformed(given: String, form: String)
    case outOfRange(given: String, name: String, form: String, allowed: ClosedRange<Int>)
    case notAscending(given: String, minimum: Int, average: Int, maximum: Int)

    package var description: String {
        switch self {
        case .unknownChunker(let given):
            """
            chunker "\(abridged(given))" is not known; use size-N, rabin, rabin-AVG, \
            rabin-MIN-AVG-MAX or buzhash, for example size-1048576
            """
        case .malformed(let given, let form):
            """
            chunker "\(abridged(given))" does not have the form \(form), where each size is a \
            number of bytes in decimal digits from 1 to \(ChunkerSpec.chunkByteCountLimit)
            """
        case .outOfRange(let given, let name, let form, let allowed):
            """
            chunker "\(abridged(given))": \(name) of \(form) is a number of bytes \
            from \(allowed.lowerBound) to \(allowed.upperBound)
            """
        case .notAscending(let given, let minimum, let average, let maximum):
            """
            chunker "\(abridged(given))": rabin-MIN-AVG-MAX needs MIN < AVG < MAX, got \
            \(minimum), \(average) and \(maximum)
            """
        }
    }

    /// A spec can be as long as a request line; a message should not be.
    private func abridged(_ given: String) -> String {
        given.utf8.count <= 64 ? given : given.prefix(60) + "..."
    }
}
