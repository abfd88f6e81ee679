import Foundation
import Testing

@testable import ClusterCore

@Suite struct ClusterSecretTests {
    @Test func aSecretComesBackFromItsText() throws {
        let secret = ClusterSecret.random()
        #expect(secret.text.utf8.count == 64)
        #expect(secret.text == secret.text.lowercased())
        #expect(try #require(ClusterSecret(hexadecimal: secret.text)).text == secret.text)
        let upper = try #require(ClusterSecret(hexadecimal: secret.text.uppercased()))
        #expect(upper.text == secret.text)
        #expect(ClusterSecret.random().text != secret.text)
    }

    @Test func onlyThirtyTwoBytesAreASecret() throws {
        let bytes = Array(UInt8(0)..<32)
        let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        #expect(try #require(ClusterSecret(bytes: bytes)).text == text)
        #expect(ClusterSecret(bytes: bytes + [0]) == nil)
        #expect(ClusterSecret(bytes: []) == nil)
        #expect(ClusterSecret(hexadecimal: text + "00") == nil)
        #expect(ClusterSecret(hexadecimal: String(text.dropLast())) == nil)
        #expect(ClusterSecret(hexadecimal: text.replacing("1f", with: "1g")) == nil)
    }

    @Test func theFingerprintNamesTheClusterAndTellsNothingOfTheSecret() throws {
        let secret = ClusterSecret.random()
        let same = try #require(ClusterSecret(hexadecimal: secret.text))
        #expect(secret.fingerprint.utf8.count == 16)
        #expect(secret.fingerprint == same.fingerprint)
        #expect(secret.fingerprint != ClusterSecret.random().fingerprint)
        #expect(!secret.text.contains(secret.fingerprint))
        #expect("\(secret)" == "secret of cluster \(secret.fingerprint)")
    }

    /// By OpenSSL 3: `openssl kdf -keylen 8 -kdfopt digest:SHA256 -kdfopt hexkey:… -kdfopt
    /// info:"ingestd cluster name 1" HKDF`.
    @Test func theFingerprintIsThatOfOpenSSL() throws {
        let secret = try #require(ClusterSecret(bytes: Array(0..<32)))
        #expect(secret.fingerprint == "3e52613c7ca736d2")
    }

    @Test(arguments: ["", "\n", " \t\r\n"])
    func aSecretComesBackFromItsFile(end: String) throws {
        let secret = ClusterSecret.random()
        let file = try SecretFile(secret.text + end)
        #expect(try ClusterSecret.load(from: file.path).text == secret.text)
    }

    @Test(arguments: [0o644, 0o640, 0o604, 0o620])
    func aSecretThatOthersCanReadIsRefused(mode: Int) throws {
        let file = try SecretFile(ClusterSecret.random().text, mode: mode)
        #expect(
            throws: IdentityError.readableByOthers(path: file.path, permissions: UInt32(mode))
        ) {
            try ClusterSecret.load(from: file.path)
        }
    }

    @Test(arguments: [
        "", "\n", "0123456789abcdef", String(repeating: "g", count: 64),
        " " + String(repeating: "0", count: 64), String(repeating: "0", count: 65),
        String(repeating: "0", count: 32) + "\n" + String(repeating: "0", count: 32),
    ])
    func aDamagedSecretIsRefusedByNameAndNotPrinted(text: String) throws {
        let file = try SecretFile(text)
        #expect {
            try ClusterSecret.load(from: file.path)
        } throws: { error in
            guard case IdentityError.malformed(file.path, _) = error else { return false }
            return text.count < 16 || !"\(error)".contains(text)
        }
    }

    @Test func aMissingSecretIsRefusedByName() {
        let path = NSTemporaryDirectory() + "secret-" + UUID().uuidString
        #expect(throws: IdentityError.missing(path: path)) { try ClusterSecret.load(from: path) }
    }

    /// A file of the temporary directory, gone when the test ends.
    private final class SecretFile {
        let path = NSTemporaryDirectory() + "secret-" + UUID().uuidString

        init(_ text: String, mode: Int = 0o600) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }

        deinit {
            // Left-overs in the temporary directory fail no test.
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}
