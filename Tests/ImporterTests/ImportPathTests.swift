import Importer
import Testing

@Suite struct ImportPathTests {
    @Test(arguments: [
        ("", []), ("/", []), (".", []), ("..", []), ("a", ["a"]), ("/a/b", ["a", "b"]),
        ("a////b", ["a", "b"]), ("a/./b/", ["a", "b"]), ("a/../b", ["b"]),
        ("../../../etc/passwd", ["etc", "passwd"]), ("a/b/../../..", []), ("...", ["..."]),
        ("..a/.b", ["..a", ".b"]), ("..\\..\\x", ["..\\..\\x"]), (" / ", [" ", " "]),
    ])
    func pathsAreCleanedAsIfAbsolute(raw: String, names: [String]) throws {
        let path = try ImportPath.cleaning(Array(raw.utf8))
        #expect(path.components == names.map { Array($0.utf8) })
    }

    @Test func namesThatAreNotUTF8StayAsTheyAre() throws {
        let raw: [UInt8] = [0x64, 0x2f, 0xff, 0xfe, 0x80]
        #expect(try ImportPath.cleaning(raw).components == [[0x64], [0xff, 0xfe, 0x80]])
    }

    @Test func canonicallyEqualNamesAreDifferent() throws {
        let composed = try ImportPath.cleaning(Array("caf\u{e9}".utf8))
        let decomposed = try ImportPath.cleaning(Array("cafe\u{301}".utf8))
        #expect(composed != decomposed)
    }

    @Test func limitsAreReachedAndNotPassed() throws {
        let deep = [[UInt8]](repeating: [0x61], count: ImportPath.maximumDepth)
        #expect(try ImportPath(components: deep).components.count == 1024)
        expectError("1025 components, at most 1024") { () throws(ImportError) in
            _ = try ImportPath(components: deep + [[0x61]])
        }
        let long = [UInt8](repeating: 0x61, count: ImportPath.maximumNameByteCount)
        #expect(try ImportPath(components: [long]).components == [long])
        expectError("4097 bytes, at most 4096") { () throws(ImportError) in
            _ = try ImportPath(components: [long + [0x61]])
        }
        expectError("at most 32768") { () throws(ImportError) in
            _ = try ImportPath(components: [[UInt8]](repeating: long, count: 9))
        }
        expectError("NUL") { () throws(ImportError) in
            _ = try ImportPath.cleaning([0x61, 0, 0x62])
        }
    }
}

/// Runs `body` and expects an error whose description contains `text`.
func expectError(
    _ text: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) {
    do {
        try body()
        Issue.record("no error, expected one with “\(text)”", sourceLocation: sourceLocation)
    } catch {
        #expect("\(error)".contains(text), sourceLocation: sourceLocation)
    }
}
