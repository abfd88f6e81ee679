import Testing

@testable import ingest_cli

struct IgnoreRulesTests {
    private func ignores(_ rules: [String], _ path: String, isDirectory: Bool = false) -> Bool {
        var set = IgnoreRules()
        for rule in rules { set.add(line: Array(rule.utf8)) }
        return set.ignores(
            path.split(separator: "/").map { Array($0.utf8) }, isDirectory: isDirectory)
    }

    @Test(arguments: [
        ("*.o", "a.o", true), ("*.o", "dir/a.o", true), ("*.o", "a.os", false),
        ("/a", "a", true), ("/a", "dir/a", false),
        ("dir/a", "dir/a", true), ("dir/a", "other/dir/a", false),
        ("**/dir/a", "other/dir/a", true), ("**/dir/a", "dir/a", true),
        ("dir/**", "dir/a/b", true), ("dir/**", "dir", false),
        ("a/**/b", "a/b", true), ("a/**/b", "a/x/y/b", true), ("a/**/b", "a/x/c", false),
        ("?.txt", "a.txt", true), ("?.txt", "ab.txt", false),
        ("[a-c]x", "bx", true), ("[!a-c]x", "bx", false), ("[]]", "]", true), ("[", "[", true),
        ("\\*", "*", true), ("\\*", "a", false), ("\\#a", "#a", true), ("\\!a", "!a", true),
        ("# a", "# a", false), ("", "a", false), ("a  ", "a", true), ("a\\ ", "a ", true),
        ("a*b*c", "a-b-b-c", true), ("a*b*c", "a-c-b", false), ("*", "anything", true),
    ])
    func aRuleMatchesAsInGit(rule: String, path: String, isMatch: Bool) {
        #expect(ignores([rule], path) == isMatch)
    }

    @Test func theLastMatchingRuleDecides() {
        #expect(!ignores(["*.log", "!keep.log"], "keep.log"))
        #expect(ignores(["!keep.log", "*.log"], "keep.log"))
    }

    @Test func aRuleWithASlashAtItsEndIsForDirectoriesOnly() {
        #expect(ignores(["build/"], "build", isDirectory: true))
        #expect(!ignores(["build/"], "build"))
        #expect(ignores(["build/"], "x/build", isDirectory: true))
    }

    @Test func namesAreBytes() {
        var rules = IgnoreRules()
        rules.add(contents: [0xFF, 0x2A, 0x0D, 0x0A])
        #expect(rules.ignores([[0xFF, 0xFE]], isDirectory: false))
        #expect(!rules.ignores([[0xC3, 0xBF]], isDirectory: false))
    }

    @Test func manyStarsTakeNoLongerThanTheirNumberTimesTheName() {
        let name = String(repeating: "a", count: 4000)
        #expect(!ignores([String(repeating: "a*", count: 200) + "b"], name))
    }
}
