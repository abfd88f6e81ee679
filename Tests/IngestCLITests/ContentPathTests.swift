import Testing

@testable import ingest_cli

struct ContentPathTests {
    private let root = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

    @Test(arguments: ["", "/ipfs/", "ipfs/", "ipfs://"])
    func aCIDMayStandBehindAScheme(prefix: String) throws {
        let path = try ContentPath("\(prefix)\(root)/a//b c/")
        #expect(path.root.description == root)
        #expect(path.names == [Array("a".utf8), Array("b c".utf8)])
        #expect(path.lastName == Array("b c".utf8))
    }

    @Test func aNameMayBeginWithACombiningMark() throws {
        #expect(try ContentPath("\(root)/\u{301}a").names == [Array("\u{301}a".utf8)])
    }

    @Test func contentWithoutAPathIsCalledByItsCID() throws {
        #expect(try ContentPath(root).lastName == Array(root.utf8))
    }

    @Test(arguments: ["", "/", "/ipfs/", "nocid", "/a", "%/../x", "%/./x"])
    func whatNamesNothingIsRefused(text: String) {
        let text = text.split(separator: "%", omittingEmptySubsequences: false)
            .joined(separator: root)
        #expect(throws: CommandOutcome.self) { try ContentPath(text) }
    }

    @Test(arguments: [
        ("a", true), ("..a", true), ("", false), (".", false), ("..", false), ("a/b", false),
        ("/a", false), ("a\0", false),
    ])
    func aNameMustStayWhereItIsPut(name: String, isSafe: Bool) {
        #expect(PathSafety.isComponent(Array(name.utf8)) == isSafe)
    }
}
