import Foundation

/// The data files beside this source file.
package enum VectorFiles {
    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

    /// A file of the published fixtures, such as `gateway-conformance/….car`.
    package static func fixture(_ path: String) -> [UInt8] {
        contents("Fixtures/" + path)
    }

    /// Where a fixture is on this machine.
    package static func fixturePath(_ path: String) -> String {
        directory.appendingPathComponent("Fixtures/" + path).path
    }

    /// The vectors of `Vectors/<name>.json`.
    package static func vectors(_ name: String) -> [JSONTree] {
        JSONTree(parsing: contents("Vectors/\(name).json")).member("vectors").elements
    }

    /// The hexadecimal words of a table in `Vectors`; lines that start with `#` are comments.
    package static func table(_ name: String) -> [UInt64] {
        String(decoding: contents("Vectors/" + name), as: UTF8.self)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }
            .flatMap { $0.split(separator: " ") }.map { UInt64($0, radix: 16)! }
    }

    private static func contents(_ path: String) -> [UInt8] {
        let url = directory.appendingPathComponent(path)
        do {
            return [UInt8](try Data(contentsOf: url))
        } catch {
            preconditionFailure("cannot read \(url.path): \(error)")
        }
    }
}
