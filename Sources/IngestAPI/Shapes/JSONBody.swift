import FoundationEssentials

/// Bodies of requests and answers other than the lines of an add.
package enum JSONBody {
    /// Keys are sorted, so equal values give equal bytes; no line feed at the end.
    package static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    /// - Throws: `JSONBodyError` for anything that is not JSON of this shape.
    package static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8]
    ) throws(JSONBodyError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let error as DecodingError {
            throw JSONBodyError(reason: JSONBodyError.reason(error))
        } catch {
            throw JSONBodyError(reason: "it is not JSON")
        }
    }
}

/// Why a JSON body was refused.
package struct JSONBodyError: Error, Equatable, CodedError {
    package let reason: String

    package var errorCode: ErrorCode { .badJSON }

    package var description: String { "the body cannot be read as JSON: \(reason)" }

    fileprivate static func reason(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "field \(key.stringValue) is missing"
        case .typeMismatch(let type, let context): "\(place(context)) is not a \(type)"
        case .valueNotFound(_, let context): "\(place(context)) is null"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "it is not JSON" : "\(place(context)): \(context.debugDescription)"
        @unknown default: "it has another shape"
        }
    }

    private static func place(_ context: DecodingError.Context) -> String {
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? "the body" : "field \(path)"
    }
}
