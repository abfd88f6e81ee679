import Foundation
import Pinset
import Testing

/// A lasting form of bytes, in hexadecimal in a file of `Vectors`.
///
/// With `REWRITE_GOLDEN=1` in the environment the files are written anew. Do that only together with a
/// new format version, or before anything was ever saved in the old one.
enum GoldenFile {
    /// What the file says, to be compared with `actual` and read back.
    static func bytes(_ name: String, _ actual: [UInt8]) throws -> [UInt8] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Vectors/\(name)")
        if ProcessInfo.processInfo.environment["REWRITE_GOLDEN"] != nil {
            let text = Hexadecimal.text(actual) + "\n"
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let text = try String(contentsOf: file, encoding: .utf8)
        return try #require(Hexadecimal.bytes(String(text.dropLast())), "\(name) is no hexadecimal")
    }
}
