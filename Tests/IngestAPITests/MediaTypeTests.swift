import Testing

@testable import IngestAPI

struct MediaTypeTests {
    private func boundary(_ contentType: String?) throws -> String {
        String(decoding: try MultipartBoundary(contentType: contentType).bytes, as: UTF8.self)
    }

    @Test func theBoundaryMayBeQuotedOrNot() throws {
        #expect(try boundary("multipart/form-data; boundary=abc") == "abc")
        #expect(try boundary("Multipart/Form-Data;BOUNDARY=abc; charset=utf-8") == "abc")
        #expect(
            try boundary(#"multipart/form-data; boundary="a'()+_,-./:=?z""#) == "a'()+_,-./:=?z")
        #expect(try boundary("multipart/form-data; boundary=----=_Part/1") == "----=_Part/1")
        #expect(try boundary("multipart/form-data ; boundary=\"a\\\"b\" ;") == "a\"b")
    }

    @Test(
        arguments: [
            (nil, "has no Content-Type"), ("application/json", "is application/json"),
            (";;;=", "cannot be read"), ("multipart/form-data", "no boundary"),
            ("multipart/form-data; boundary=\"\"", "has 0 bytes"),
            (
                "multipart/form-data; boundary=" + String(repeating: "x", count: 300),
                "has 300 bytes"
            ),
            ("multipart/form-data; boundary=\"a\tb\"", "byte 9"),
            ("multipart/form-data; boundary=\"a \"", "byte 32"),
            ("multipart/form-data; boundary=a b", "cannot be read"),
            ("multipart/form-data; boundary=\"abc", "not closed"),
            ("multipart/form-data; boundary", "no equals sign"),
            ("multipart/form-data; boundary=", "no value"),
            ("multipart/form-data; boundary=a; boundary=b", "twice"),
            ("multipart/mixed; boundary=a", "is multipart/mixed"),
            ("application/x-www-form-urlencoded", "multipart/form-data"),
        ] as [(String?, String)])
    func whatIsNoFormIsRefusedWithItsReason(contentType: String?, reason: String) {
        do {
            _ = try MultipartBoundary(contentType: contentType)
            Issue.record("accepted")
        } catch {
            #expect(error.description.contains(reason), "\(error)")
        }
    }

    @Test func seventyBytesAreTheLongestBoundary() throws {
        let longest = String(repeating: "x", count: 70)
        #expect(try boundary("multipart/form-data; boundary=\(longest)") == longest)
        #expect(throws: ContentTypeError.boundaryLength(71)) {
            try MultipartBoundary(contentType: "multipart/form-data; boundary=x\(longest)")
        }
    }
}
