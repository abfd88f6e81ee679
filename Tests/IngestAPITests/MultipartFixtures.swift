import Foundation

@testable import IngestAPI

/// Building blocks of multipart bodies, as the acceptance checks write them.
enum Form {
    static let boundary = "acceptance-boundary"

    static func part(
        _ filename: String, _ data: [UInt8] = Array("data".utf8),
        type: String = "application/octet-stream", field: String = "file"
    ) -> [UInt8] {
        Array(
            """
            Content-Disposition: form-data; name="\(field)"; filename="\(filename)"\r
            Content-Type: \(type)\r
            \r

            """.utf8) + data
    }

    static func head(_ lines: String..., data: String = "data") -> [UInt8] {
        Array((lines.map { $0 + "\r\n" }.joined() + "\r\n" + data).utf8)
    }

    static func body(_ parts: [UInt8]..., boundary: String = boundary, isWhole: Bool = true)
        -> [UInt8]
    {
        let open = parts.flatMap { Array("--\(boundary)\r\n".utf8) + $0 + Array("\r\n".utf8) }
        return open + (isWhole ? Array("--\(boundary)--\r\n".utf8) : [])
    }
}

/// A parser's events with adjacent payload joined.
enum FormEvent: Equatable {
    case begin(PartHeader)
    case data([UInt8])
    case end
}

extension [FormEvent] {
    mutating func add(_ event: MultipartParser.Event) {
        switch event {
        case .partBegin(let header): append(.begin(header))
        case .partEnd: append(.end)
        case .data(let bytes):
            if case .data(let before) = last {
                self[count - 1] = .data(before + bytes)
            } else {
                append(.data([UInt8](bytes)))
            }
        }
    }
}

/// Parses a body that arrives in the given pieces. After each piece the parser is thrown away and
/// made anew from its saved state.
func parse(
    _ pieces: [[UInt8]], boundary: String = Form.boundary,
    limits: MultipartLimits = MultipartLimits()
) throws -> [FormEvent] {
    let boundary = try MultipartBoundary(Array(boundary.utf8))
    var parser = MultipartParser(boundary: boundary, limits: limits)
    var events: [FormEvent] = []
    for piece in pieces {
        try piece.withUnsafeBytes { try parser.parse($0) { events.add($0) } }
        let saved = try JSONEncoder().encode(parser.state)
        let state = try JSONDecoder().decode(MultipartParser.State.self, from: saved)
        parser = MultipartParser(boundary: boundary, limits: limits, resuming: state)
    }
    try parser.finish()
    return events
}

/// The problem that parsing in one piece ends with, or nil.
func problem(_ body: [UInt8], limits: MultipartLimits = MultipartLimits()) -> MultipartProblem? {
    do {
        _ = try parse([body], limits: limits)
        return nil
    } catch {
        return (error as? MultipartError)?.problem
    }
}
