import Importer
import Testing

@testable import IngestAPI

/// An upload's events with payload joined and paths as text.
private enum Entry: Equatable {
    case file(String, [UInt8])
    case directory(String)
    case symlink(String, String)
}

private func read(_ body: [UInt8]) throws -> [Entry] {
    var reader = UploadReader(boundary: try MultipartBoundary(Array(Form.boundary.utf8)))
    let entries = try read(body, by: &reader)
    try reader.finish()
    return entries
}

private func read(_ piece: [UInt8], by reader: inout UploadReader) throws -> [Entry] {
    var entries: [Entry] = []
    var open = ""
    var content: [UInt8] = []
    try piece.withUnsafeBytes { bytes in
        var input = bytes
        while let event = try reader.next(&input) {
            switch event {
            case .beginFile(let entry): open = entry.path.text
            case .data(let bytes): content += bytes
            case .endFile:
                entries.append(.file(open, content))
                content = []
            case .directory(let entry): entries.append(.directory(entry.path.text))
            case .symlink(let entry, let target):
                entries.append(.symlink(entry.path.text, String(decoding: target, as: UTF8.self)))
            }
        }
    }
    return entries
}

extension ImportPath {
    fileprivate var text: String { String(decoding: joined, as: UTF8.self) }
}

private func refusal(_ parts: [UInt8]...) -> String? {
    do {
        _ = try read(
            parts.reduce(into: [UInt8]()) { $0 += Form.body($1, isWhole: false) }
                + Array("--acceptance-boundary--\r\n".utf8))
        return nil
    } catch {
        return "\(error)"
    }
}

struct UploadReaderTests {
    private func entry(
        filename: String? = nil, field: String = "file", kind: EntryKind = .file,
        isDecoded: Bool = false
    ) throws -> UploadEntry {
        try UploadEntry(
            PartHeader(
                kind: kind, fieldName: Array(field.utf8), filename: filename.map { Array($0.utf8) },
                isFilenameDecoded: isDecoded))
    }

    @Test func kubosPartsAreFilesDirectoriesAndSymlinks() throws {
        let body = Form.body(
            Form.part("d", [], type: "application/x-directory"),
            Form.part("d%2Ff+1", Array("x".utf8)),
            Form.part("d%2Flink", Array("f 1".utf8), type: "application/symlink"))
        #expect(
            try read(body) == [
                .directory("d"), .file("d/f 1", Array("x".utf8)), .symlink("d/link", "f 1"),
            ])
    }

    @Test func curlsAndBrowsersPartsAreFiles() throws {
        let curl = Form.head(
            "Content-Disposition: form-data; name=\"upload\"; filename=\"dir/x.tar\"",
            "Content-Type: application/x-tar")
        let browser = Form.head(
            "Content-Disposition: form-data; name=\"files[]\"; filename=\"photos/été/a %22b%22.png\"",
            "Content-Type: image/png")
        let extended = Form.head(
            "Content-Disposition: form-data; name=file; filename=\"x\"; filename*=UTF-8''c%2B%2B%20100%25.md"
        )
        let latin = Form.head(
            "Content-Disposition: attachment; filename*=iso-8859-1'en'%e9t%e9")
        let field = Form.head("Content-Disposition: form-data; name=\"file\"")
        let data = Array("data".utf8)
        #expect(
            try read(Form.body(curl, browser, extended, latin, field)) == [
                .file("dir/x.tar", data), .file("photos/été/a \"b\".png", data),
                .file("c++ 100%.md", data), .file("été", data), .file("", data),
            ])
    }

    @Test(arguments: [
        ("a%2Fb", "a/b"), ("a+b", "a b"), ("100%zz", "100%zz"), ("100%", "100%"),
        ("a%2", "a%2"), ("../../etc/passwd", "etc/passwd"), ("/etc//./passwd", "etc/passwd"),
        ("%252e%252e%2Fpasswd", "%2e%2e/passwd"), ("..\\..\\x", "..\\..\\x"), ("", ""), (".", ""),
        ("a%0D%0Ab", "a\r\nb"),
    ])
    func namesAreUnescapedOnceOrTakenAsTheyAre(written: String, path: String) throws {
        #expect(try entry(filename: written).path.joined == Array(path.utf8))
    }

    @Test func namesThatAreNotUTF8StayTheirBytes() throws {
        #expect(try entry(filename: "d/%ff%fe").path.components == [[0x64], [0xff, 0xfe]])
        let raw = Form.body(
            Array("Content-Disposition: form-data; filename=\"".utf8) + [0xe9, 0x74]
                + Array("\"\r\n\r\n".utf8))
        guard case .begin(let header) = try parse([raw])[0] else { return }
        #expect(try UploadEntry(header).path.components == [[0xe9, 0x74]])
    }

    @Test func backslashesEscapeOnlySpecialCharacters() throws {
        let body = Form.body(
            Form.head("Content-Disposition: form-data; filename=\"C:\\data\\a\\\"b\\\\c\""))
        #expect(try read(body) == [.file("C:\\data\\a\"b\\c", Array("data".utf8))])
    }

    @Test func modeAndTimeComeWithTheFieldName() throws {
        let usual = try entry(filename: "f", field: "file?mode=0644&mtime=1700000000&mtime-nsecs=5")
        #expect(
            usual.metadata
                == EntryMetadata(
                    mode: 0o644, mtime: UnixFSTime(seconds: 1_700_000_000, nanoseconds: 5)))
        #expect(try entry(filename: "f").metadata == .none)
        let old = try entry(filename: "f", field: "file?mtime=-1")
        #expect(old.metadata.mtime == UnixFSTime(seconds: -1))
    }

    /// Go's client leaves the query out altogether when there is neither, so a query without a
    /// time is a time of 1970 for its server.
    @Test func aQueryWithoutTimeMeans1970() throws {
        #expect(
            try entry(filename: "f", field: "file?mode=0600").metadata
                == EntryMetadata(mode: 0o600, mtime: UnixFSTime(seconds: 0)))
        #expect(try entry(filename: "f", field: "file?").metadata.mtime == UnixFSTime(seconds: 0))
    }

    @Test func modesAreGosAndBecomeUnix() throws {
        func mode(_ text: String, _ kind: EntryKind = .directory) throws -> UInt32? {
            try entry(filename: "d", field: "file?mode=\(text)", kind: kind).metadata.mode
        }
        #expect(try mode("020000000755") == 0o755)
        #expect(try mode("020000000000") == 0)
        #expect(try mode("0") == nil)
        #expect(try mode("020004000777") == 0o1777)
        #expect(try mode("060000755", .file) == 0o6755)
        #expect(try mode("01000000777", .symlink) == 0o777)
    }

    @Test(arguments: [
        ("file?mode=zz", "mode “zz”"), ("file?mode=0o644", "mode"), ("file?mode=-1", "mode"),
        ("file?mode=99", "mode"), ("file?mode=", "mode"), ("file?mode=77777777777777", "mode"),
        ("file?mtime=never", "mtime “never”"), ("file?mtime=99999999999999999999999", "64 bits"),
        ("file?mtime-nsecs=-7", "mtime-nsecs"), ("file?mtime-nsecs=1000000000", "mtime-nsecs"),
        ("file?mode=%zz", "percent-encoded"),
    ])
    func badModesAndTimesAreRefused(field: String, words: String) throws {
        #expect(refusal(Form.part("f", field: field))?.contains(words) == true)
    }

    @Test func aFormWithoutFilesIsRefused() {
        #expect(refusal()?.contains("no parts") == true)
        let comment = Form.head("Content-Disposition: form-data; name=\"comment\"")
        #expect(refusal(comment)?.contains("“comment” has no file name") == true)
        #expect(refusal(Form.part("f"), comment)?.contains("part 2") == true)
    }

    @Test func aDirectoryWithABodyIsRefused() {
        let part = Form.part("d", Array("x".utf8), type: "application/x-directory")
        #expect(refusal(part)?.contains("must be empty") == true)
    }

    @Test func aSymlinkTargetHasALimitAndMayBeEmpty() throws {
        let type = "application/symlink"
        let limit = TreeImporter.maximumSymlinkTargetByteCount
        let longest = [UInt8](repeating: 0x78, count: limit)
        #expect(refusal(Form.part("l", longest, type: type)) == nil)
        #expect(refusal(Form.part("l", longest + [0x78], type: type))?.contains("\(limit)") == true)
        #expect(refusal(Form.part("l", [UInt8](repeating: 1, count: 1 << 20), type: type)) != nil)
        #expect(try read(Form.body(Form.part("l", [], type: type))) == [.symlink("l", "")])
    }

    /// Journals keep it.
    @Test func aStateHasTheseFieldsAndIsRead() throws {
        let part = Form.part("l%2Fx", Array("target".utf8), type: "application/symlink")
        let begun = Form.body(part, isWhole: false) + Array("--acc".utf8)
        let boundary = try MultipartBoundary(Array(Form.boundary.utf8))
        var reader = UploadReader(boundary: boundary)
        _ = try read(begun, by: &reader)
        let text = """
            {"parser":{"bodyOffset":136,"head":[],"impliedByteCount":0,"matchedByteCount":7,\
            "partCount":1,"phase":4,"skippedByteCount":0},"pending":{"fieldName":[102,105,108,101],\
            "filename":[108,37,50,70,120],"isFilenameDecoded":false,"kind":2},\
            "symlinkTarget":[116,97,114,103,101,116]}
            """
        #expect(String(decoding: try JSONBody.encode(reader.state), as: UTF8.self) == text)
        let state = try JSONBody.decode(UploadReader.State.self, from: Array(text.utf8))
        #expect(state == reader.state)
        var resumed = UploadReader(boundary: boundary, resuming: state)
        let entries = try read(Array("eptance-boundary--\r\n".utf8), by: &resumed)
        #expect(entries == [.symlink("l/x", "target")])
    }

    @Test func namesBeyondTheBoundsAreRefused() {
        #expect(refusal(Form.part("a%00b"))?.contains("NUL") == true)
        #expect(refusal(Form.part(String(repeating: "a/", count: 10000) + "f")) != nil)
        #expect(refusal(Form.part(String(repeating: "n", count: 100_000))) != nil)
        #expect(refusal(Form.part(String(repeating: "n", count: 5000))) != nil)
    }
}
