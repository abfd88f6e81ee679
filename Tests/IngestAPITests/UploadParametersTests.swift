import Testing

@testable import IngestAPI

struct UploadParametersTests {
    private func parse(_ query: String) throws -> UploadParameters {
        try UploadParameters(parsing: QueryString.parse(query), now: .zero)
    }

    @Test func theFormatIsRawUnlessSaidOtherwise() throws {
        let parameters = try parse("filename=a%2Fb&chunker=size-1000&name=n")
        #expect(parameters.format == .raw)
        #expect(parameters.filename == "a/b")
        #expect(parameters.add.overrides.chunker == "size-1000")
        #expect(parameters.add.pin.name == "n")
        #expect(try parse("format=multipart").format == .multipart)
    }

    @Test func ofTheFormatOnlyACARChangesWhatIsAdded() throws {
        let archive = try parse("format=car&name=n")
        #expect(archive.format == .car && archive.add.format == .car)
        let again = try AddParameters(parsing: archive.add.queryItems, now: .zero)
        #expect(again == archive.add)
        #expect(try parse("format=multipart").add.format == .unixfs)
    }

    @Test(arguments: [
        "format=unixfs", "format=car&wrap-with-directory=true", "format=",
        "format=raw&format=raw", "filename=a&filename=b", "chunkr=1",
    ])
    func whatCannotBeResumedIsRefused(query: String) {
        #expect(throws: ParameterError.self) { try parse(query) }
    }
}
