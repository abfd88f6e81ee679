import Foundation
import Multiformats
import Pinset
import Testing

@testable import ClusterCore

@Suite struct IdentityTests {
    /// A private directory, gone when the test ends.
    private final class Folder {
        let path = NSTemporaryDirectory() + "identity-" + UUID().uuidString

        init() throws {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        }

        deinit {
            // Left-overs in the temporary directory fail no test.
            try? FileManager.default.removeItem(atPath: path)
        }

        func write(_ name: String, _ text: String, mode: Int = 0o600) throws -> String {
            let file = path + "/" + name
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
            return file
        }
    }

    @Test func anIdentityComesBackFromItsFile() throws {
        let folder = try Folder()
        let identity = PeerIdentity()
        try identity.save(to: folder.path)
        let loaded = try PeerIdentity.load(from: folder.path)
        #expect(loaded.peer == identity.peer)
        #expect(loaded.seed == identity.seed)
        #expect(identity.peer.description.hasPrefix("12D3KooW"))
    }

    @Test func onlyTheOwnerMayReadTheKeyAndNoDraftIsLeft() throws {
        let folder = try Folder()
        try PeerIdentity().save(to: folder.path)
        let file = folder.path + "/" + PeerIdentity.fileName
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["identity.json"])
    }

    @Test func aKeyThatOthersCanReadIsRefused() throws {
        let folder = try Folder()
        try PeerIdentity().save(to: folder.path)
        let file = folder.path + "/" + PeerIdentity.fileName
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: file)
        #expect(throws: IdentityError.readableByOthers(path: file, permissions: 0o640)) {
            try PeerIdentity.load(from: folder.path)
        }
    }

    @Test func anIdentityIsNeverOverwritten() throws {
        let folder = try Folder()
        let first = PeerIdentity()
        try first.save(to: folder.path)
        let file = folder.path + "/" + PeerIdentity.fileName
        #expect(throws: IdentityError.exists(path: file)) {
            try PeerIdentity().save(to: folder.path)
        }
        #expect(try PeerIdentity.load(from: folder.path).peer == first.peer)
    }

    /// A crash left a draft: it has no name that counts.
    @Test func aDraftOfACrashedAttemptIsReplaced() throws {
        let folder = try Folder()
        _ = try folder.write(PeerIdentity.fileName + ".new", "half a k")
        #expect(throws: IdentityError.self) { try PeerIdentity.load(from: folder.path) }
        let identity = PeerIdentity()
        try identity.save(to: folder.path)
        #expect(try PeerIdentity.load(from: folder.path).peer == identity.peer)
    }

    /// Golden file of the format, and RFC 8032 section 7.1, test 1.
    @Test func theFileIsThatOfIPFSCluster() throws {
        let folder = try Folder()
        let key =
            "CAESQJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"
            + "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        let text = """
            {
              "id": "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV",
              "private_key": "\(key)"
            }

            """
        let file = try folder.write(PeerIdentity.fileName, text)
        let identity = try PeerIdentity.load(from: folder.path)
        #expect(identity.seed.prefix(4) == [0x9d, 0x61, 0xb1, 0x9d])
        try FileManager.default.removeItem(atPath: file)
        try identity.save(to: folder.path)
        #expect(try String(contentsOfFile: file, encoding: .utf8) == text)
    }

    @Test func aKeyBesideAnotherPeerIDIsRefused() throws {
        let folder = try Folder()
        let other = PeerIdentity().peer.description
        let identity = PeerIdentity()
        try identity.save(to: folder.path)
        let file = folder.path + "/" + PeerIdentity.fileName
        let text = try String(contentsOfFile: file, encoding: .utf8)
        _ = try folder.write(
            PeerIdentity.fileName,
            text.replacingOccurrences(of: identity.peer.description, with: other))
        #expect(
            throws: IdentityError.keyDiffers(
                path: file, named: other, found: identity.peer.description)
        ) {
            try PeerIdentity.load(from: folder.path)
        }
    }

    @Test(arguments: ["", "{}", "[]", "{\"id\": \"x\", \"private_key\": \"AAAA\"}", "\u{0}"])
    func aDamagedIdentityIsRefusedByName(text: String) throws {
        let folder = try Folder()
        let file = try folder.write(PeerIdentity.fileName, text)
        #expect {
            try PeerIdentity.load(from: folder.path)
        } throws: { error in
            if case IdentityError.malformed(file, _) = error { true } else { false }
        }
    }

    @Test func aSignatureHoldsForItsMessagePeerAndNothingElse() throws {
        let identity = PeerIdentity()
        let message = Array("shard 1".utf8)
        var signature = try identity.sign(message, for: .receipt)
        #expect(signature.count == 64)
        #expect(identity.peer.signed(message, for: .receipt, signature: signature))
        #expect(!identity.peer.signed(message + [0], for: .receipt, signature: signature))
        #expect(!PeerIdentity().peer.signed(message, for: .receipt, signature: signature))
        #expect(!identity.peer.signed(message, for: .receipt, signature: []))
        signature[10] ^= 1
        #expect(!identity.peer.signed(message, for: .receipt, signature: signature))
    }

    @Test func aStorageIDComesBackFromItsFile() throws {
        let folder = try Folder()
        let id = StorageID.random()
        #expect(id != StorageID.random())
        try id.save(to: folder.path)
        #expect(try StorageID.load(from: folder.path) == id)
        let file = folder.path + "/" + StorageID.fileName
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(id)\n")
        #expect(throws: IdentityError.exists(path: file)) {
            try StorageID.random().save(to: folder.path)
        }
    }

    @Test func anUnmountedDataDirectoryIsNotedByTheMissingStorageID() throws {
        let folder = try Folder()
        #expect(throws: IdentityError.missing(path: folder.path + "/storage.id")) {
            try StorageID.load(from: folder.path)
        }
    }

    @Test(arguments: [
        "", "\n", "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF\n",
    ])
    func aDamagedStorageIDIsRefusedByName(text: String) throws {
        let folder = try Folder()
        let file = try folder.write(StorageID.fileName, text)
        #expect {
            try StorageID.load(from: folder.path)
        } throws: { error in
            if case IdentityError.malformed(file, _) = error { true } else { false }
        }
    }
}
