import Foundation
import Testing

/// What the modules may import: the picture of RFC 0001, held against the sources.
struct ImportTests {
    private static let sources = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources")

    /// Targets that must stay replayable: no disk, socket, clock, thread or system randomness.
    private static let allowed: [String: Set<String>] = [
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
        for (file, text) in try files(of: target) {
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

    /// A change of the disk that did not pass it could not be made to fail.
    @Test func changesOfTheDiskPassTheSeam() throws {
        let calls =
            /\b(pwritev?2?|fsync|fdatasync|ftruncate|renameat2?|rename|unlinkat|unlink|linkat|link|mkdirat|mkdir|rmdir|cshims_fallocate|cshims_link_unnamed|copy_file_range|sendfile)\(/
        var count = 0
        for line in try linesThatMayChangeTheDisk() where line.code.contains(calls) {
            if line.code.contains("func ") || line.code.contains("FileSystem.")
                || line.code.contains(".link(")
            {
                continue
            }
            // A file that loses its name at once is scratch.
            if line.code == "unlink(template)" { continue }
            #expect(
                line.file.hasPrefix("PosixIO/")
                    && ["DiskSeam.perform", "try write(bytes, at:", "try rename("].contains {
                        line.before.contains($0)
                    },
                "\(line.place) changes the disk past DiskSeam: \(line.code)")
            count += 1
        }
        #expect(count >= 10, "the seam has \(count) calls; this test does not find them")
    }

    /// Whoever had a file of its own to write to, could write to it past the seam.
    @Test func onlyTheSeamsFilesAreOpenedForWriting() throws {
        let ways =
            /\b(O_(CREAT|WRONLY|RDWR|TRUNC|APPEND)\b|(creat|fopen|mko?s?temp|removeItem|createFile|createDirectory|createSymbolicLink|moveItem|copyItem|linkItem|replaceItem\w*|DatabaseQueue|DatabasePool|FileHandle)\(|write\(to: *(URL\b|\w*[uU]rl\b)|write\(toFile)/
        var found: Set<String> = []
        for line in try linesThatMayChangeTheDisk() where line.code.contains(ways) {
            found.insert("\(line.file): \(line.code)")
        }
        #expect(
            found == [
                // It passes the seam where it creates, and so does all that is done with what it opens.
                "PosixIO/FileDescriptor.swift: case .update: O_RDWR",
                "PosixIO/FileDescriptor.swift: case .create: O_RDWR | O_CREAT | O_EXCL",
                "PosixIO/FileDescriptor.swift: case .createOrUpdate: O_RDWR | O_CREAT",
                "PosixIO/FileDescriptor.swift: case .append: O_RDWR | O_CREAT | O_APPEND",
                "PosixIO/FileDescriptor.swift: flags & O_CREAT == 0",
                // Scratch, which has no name.
                "PosixIO/FileDescriptor.swift: open(directory, cshims_o_tmpfile() | O_RDWR | O_CLOEXEC, 0o600)",
                "PosixIO/FileDescriptor.swift: let created = mkstemp(&template)",
                // Its transactions pass the seam.
                "ClusterCore/Log/StateStore.swift: let pool = try DatabasePool(path: path, configuration: configuration)",
            ], "a new way to the disk: let it pass DiskSeam, then name it here")
    }

    private struct Line {
        /// With its target.
        let file: String
        let number: Int
        let code: Substring
        /// It, and the five before it.
        let before: String
        var place: String { "\(file):\(number)" }
    }

    /// Lines of code outside of the pure targets, but for the seam itself, and what the client writes for its user.
    private func linesThatMayChangeTheDisk() throws -> [Line] {
        let exempt = ["DiskUndo.swift", "DiskFault.swift", "Get/Directory+Writing.swift"]
        let targets = [
            "PosixIO", "ClusterCore", "ImportPipeline", "IngestClient", "ingestd", "ingest-cli",
            "EtcdClient",
        ]
        var found: [Line] = []
        for target in targets {
            for (file, text) in try files(of: target) where !exempt.contains(file) {
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                for (index, line) in lines.enumerated() {
                    let code = line.drop { $0 == " " }
                    if code.hasPrefix("//") { continue }
                    let before = lines[max(0, index - 5)...index].joined()
                    found.append(
                        Line(
                            file: "\(target)/\(file)", number: index + 1, code: code, before: before
                        ))
                }
            }
        }
        return found
    }

    /// Swift 6.3.1 loses, when it optimises, what `do { return (a, try await b()) } catch` writes before
    /// the wait: the caller sees a zero in place of `a`.
    @Test func noTupleIsReturnedAroundAWait() throws {
        let targets = try FileManager.default.contentsOfDirectory(atPath: Self.sources.path)
        let waiting = "do { return (1, try await x(2)) } catch { return (2, try? await (x())) }"
        #expect(Self.tuplesAroundWaits(waiting).count == 2)
        #expect(Self.tuplesAroundWaits("return (try await x(1, 2)) ?? (await y)").isEmpty)
        for target in targets.sorted() where !["CLibcrypto", "CShims", "CZlib"].contains(target) {
            for (file, text) in try files(of: target) {
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
        try files(of: target).flatMap { file, text in
            text.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                guard let at = words.firstIndex(of: "import"), at <= 1, at + 1 < words.count,
                    at == 0 || words[0].hasPrefix("@") || words[0] == "public"
                else { return nil }
                return (file, String(words[at + 1]))
            }
        }
    }

    private func files(of target: String) throws -> [(String, String)] {
        let folder = Self.sources.appendingPathComponent(target)
        let names = try #require(FileManager.default.enumerator(atPath: folder.path))
        let swift = names.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }
        try #require(!swift.isEmpty, "no sources in \(folder.path)")
        return try swift.map {
            ($0, try String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8))
        }
    }
}
