import Foundation
import Testing

/// The sources of the project's targets, as text.
enum Sources {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources")

    static func targets() throws -> [String] {
        let targets = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        try #require(targets.count > 10, "no sources in \(folder.path)")
        return targets
    }

    /// Names below the target's folder, and contents.
    static func files(
        of target: String, suffixes: [String] = [".swift"]
    ) throws -> [(String, String)] {
        let folder = folder.appendingPathComponent(target)
        let names = try #require(FileManager.default.enumerator(atPath: folder.path))
        let files = names.compactMap { $0 as? String }
            .filter { name in suffixes.contains { name.hasSuffix($0) } }
        return try files.sorted().map {
            ($0, try String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8))
        }
    }
}
