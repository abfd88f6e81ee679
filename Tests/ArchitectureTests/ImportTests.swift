import Foundation
import Testing

/// What the modules may import: the picture of RFC 0001, held against the sources.
struct ImportTests {
    /// Targets that must stay replayable: no disk, socket, clock, thread or system randomness.
    static let allowed: [String: Set<String>] = [
        "Multiformats": ["CLibcrypto"],
        "Spill": [],
        "Chunker": [],
        "Importer": ["Chunker", "Multiformats", "Spill"],
        "ShardPlanner": ["Multiformats"],
        "Pinset": ["Multiformats", "ShardPlanner"],
    ]

    @Test(arguments: allowed.keys.sorted())
    func pureTargetsImportOnlyPureTargets(target: String) throws {
        for (file, module) in try imports(of: target) {
            #expect(Self.allowed[target]!.contains(module), "\(file) imports \(module)")
        }
    }

    @Test(arguments: allowed.keys.sorted())
    func pureTargetsHaveNoTasksClocksOrSystemRandomness(target: String) throws {
        let forbidden = [
            "Task {", "Task.", "ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator",
            ".random(in:", "DispatchQueue", "await ",
        ]
        for (file, text) in try Sources.files(of: target) {
            for line in text.split(separator: "\n") {
                if line.drop(while: { $0 == " " }).hasPrefix("//") { continue }
                for word in forbidden {
                    #expect(!line.contains(word), "\(file) uses \(word): \(line)")
                }
            }
        }
    }

    @Test func shellsDoNotReachAcross() throws {
        let never: [(String, String)] = [
            ("ClusterCore", "Importer"), ("ClusterCore", "Hummingbird"), ("IngestAPI", "NIOCore"),
            ("IngestClient", "ClusterCore"), ("ImportPipeline", "ClusterCore"),
        ]
        for (target, module) in never {
            let found = try imports(of: target).filter { $0.module == module }
            #expect(found.isEmpty, "\(target) imports \(module) in \(found.map(\.file))")
        }
    }

    /// Swift 6.3.1 loses, when it optimises, what `do { return (a, try await b()) } catch` writes before
    /// the wait: the caller sees a zero in place of `a`.
    @Test func noTupleIsReturnedAroundAWait() throws {
        let waiting = "do { return (1, try await x(2)) } catch { return (2, try? await (x())) }"
        #expect(Self.tuplesAroundWaits(waiting).count == 2)
        #expect(Self.tuplesAroundWaits("return (try await x(1, 2)) ?? (await y)").isEmpty)
        for target in try Sources.targets() {
            for (file, text) in try Sources.files(of: target) {
                let found = Self.tuplesAroundWaits(text)
                #expect(found.isEmpty, "\(target)/\(file): wait first, then return \(found)")
            }
        }
    }

    private static func tuplesAroundWaits(_ text: String) -> [Substring] {
        text.ranges(of: "return (").compactMap { start in
            var depth = 1
            var hasParts = false
            let rest = text[start.upperBound...].prefix { character in
                depth += character == "(" ? 1 : character == ")" ? -1 : 0
                hasParts = hasParts || depth == 1 && character == ","
                return depth > 0
            }
            return hasParts && rest.contains("await ") ? rest : nil
        }
    }

    private func imports(of target: String) throws -> [(file: String, module: String)] {
        try Sources.files(of: target).flatMap { file, text in
            text.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                guard let at = words.firstIndex(of: "import"), at <= 1, at + 1 < words.count,
                    at == 0 || words[0].hasPrefix("@") || words[0] == "public"
                else { return nil }
                return (file, String(words[at + 1]))
            }
        }
    }
}
