import Foundation
import SeededRandom
import Testing

/// Files beside the tests; found by source path, so that no resource bundle is needed.
enum VectorFiles {
    static func bytes(_ name: String) throws -> [UInt8] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        return Array(try Data(contentsOf: folder.appendingPathComponent("Vectors/\(name)")))
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from name: String) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(try bytes(name)))
    }

    /// The list under `vectors` of a JSON file; a file that cannot be read gives an empty list,
    /// which the tests notice.
    static func list<Value: Decodable>(_ type: Value.Type, from name: String) -> [Value] {
        do {
            return try decode([String: ListOrText<Value>].self, from: name)["vectors"]?.list ?? []
        } catch {
            Issue.record("cannot read \(name): \(error)")
            return []
        }
    }
}

/// A vector file has a text that says where its vectors come from, and the list of them.
private enum ListOrText<Value: Decodable>: Decodable {
    case list([Value])
    case text(String)

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {  // a list is not a failed text
            self = .text(text)
        } else {
            self = .list(try container.decode([Value].self))
        }
    }

    var list: [Value]? {
        if case .list(let list) = self { list } else { nil }
    }
}

/// Bytes written as hexadecimal digits.
func hex(_ text: String) -> [UInt8] {
    let digits = text.utf8.map { UInt8($0 < 0x3a ? $0 - 0x30 : ($0 | 0x20) - 0x61 + 10) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

extension SeededGenerator {
    mutating func bytes(_ counts: ClosedRange<Int>) -> [UInt8] {
        let count = Int.random(in: counts, using: &self)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}
