import Foundation
import PosixIO
import Testing

@testable import ClusterCore

/// The file that tells a data directory which cluster it belongs to.
struct ClusterFileTests {
    private let fixture: StoreFixture
    private var path: String { fixture.directory + "/cluster.json" }

    init() throws {
        fixture = try StoreFixture()
    }

    @Test func aFileHasTheseFields() throws {
        var file = ClusterFile(joins: "b:9096")
        file.endpoints = ["https://a:97", "https://b:97"]
        file.hasMember = true
        try check(
            file,
            #"{"joins":"b:9096","endpoints":["https://a:97","https://b:97"],"has_member":true}"#)
    }

    @Test func aFileOfThePeerThatBeganHasTheseFields() throws {
        try check(ClusterFile(), #"{"endpoints":[],"has_member":false}"#)
    }

    private func check(_ file: ClusterFile, _ text: String) throws {
        try file.save(to: fixture.directory)
        #expect(try sorted(FileSystem.loadFile(path)) == sorted(Array(text.utf8)))
        try FileSystem.saveFile(path, Array(text.utf8))
        #expect(try ClusterFile.load(from: fixture.directory) == file)
    }

    @Test func aDirectoryWithoutTheFileBelongsToNone() throws {
        #expect(try ClusterFile.load(from: fixture.directory) == nil)
    }

    @Test(arguments: ["", "{}", #"{"endpoints":[]}"#, #"{"endpoints":"a","has_member":true}"#])
    func aDamagedFileIsRefusedByName(text: String) throws {
        try FileSystem.saveFile(path, Array(text.utf8))
        #expect(throws: ClusterFileError.self) { try ClusterFile.load(from: fixture.directory) }
    }

    /// JSON with its keys in order: that of the file is left open.
    private func sorted(_ json: [UInt8]) throws -> String {
        let object = try JSONSerialization.jsonObject(with: Data(json))
        return String(
            decoding: try JSONSerialization.data(withJSONObject: object, options: .sortedKeys),
            as: UTF8.self)
    }
}
