import Foundation
import Multiformats
import Pinset
import PosixIO
import ShardPlanner
import Testing

@testable import ClusterCore

/// What a peer's receipt proves, and what it does not.
struct SignedReceiptTests {
    enum Difference: CaseIterable {
        case shard, upload, number, peer
    }

    private let identity = PeerIdentity()
    private let upload = UploadID(high: 1, low: 2)
    private let shard: CID
    private let receipt: Receipt
    private let signed: SignedReceipt

    init() throws {
        shard = try StoreFixture.block("shard").cid
        receipt = Receipt(
            peer: identity.peer, storageID: StorageID(high: 3, low: 4), generation: 7,
            fileByteCount: 1000)
        signed = try SignedReceipt(
            receipt, shard: shard, upload: upload, number: 5, identity: identity)
    }

    @Test func aReceiptProvesWhatItWasSignedFor() throws {
        #expect(try verify(signed) == receipt)
    }

    @Test func aReceiptThatWentThroughJSONProvesTheSame() throws {
        let sent = try JSONEncoder().encode(signed)
        #expect(try verify(JSONDecoder().decode(SignedReceipt.self, from: sent)) == receipt)
    }

    @Test func theFieldsOfTheJSONAreThese() throws {
        let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(signed))
        let fields = try #require(object as? [String: Any])
        #expect(
            fields.keys.sorted() == [
                "file_bytes", "generation", "number", "peer", "shard", "signature", "storage",
                "upload",
            ])
    }

    /// The key is that of RFC 8032 section 7.1, test 1. Another program signed "ingestd receipt 1", a zero
    /// byte, and these lines with a line feed between them: the shard, the upload, 5, the peer, the
    /// storage, 7, 1000.
    @Test func theBytesOfAReceiptAreTheseAndAreRead() throws {
        let fixture = try StoreFixture()
        let key =
            "CAESQJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"
            + "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        let peer = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"
        try FileSystem.saveFile(
            fixture.directory + "/" + PeerIdentity.fileName,
            Array(#"{"id":"\#(peer)","private_key":"\#(key)"}"#.utf8), permissions: 0o600)
        let identity = try PeerIdentity.load(from: fixture.directory)
        let text = """
            {"file_bytes":1000,"generation":7,"number":5,"peer":"\(peer)",\
            "shard":"bafkreig7gwmm2zxrxnn4jywbppujw7d6z4gidzjzhh2hdjvxfw4ncopnvy",\
            "signature":"vAs1E9j8nL4XucFrGKo7EzepS+AwE/jc0f7YN1h3H0+xAZZS0rvCmYvvAvW5WzCDYSWK8AHf9sYCgTfpVrUyCA==",\
            "storage":"00000000000000030000000000000004",\
            "upload":"00000000000000010000000000000002"}
            """
        var receipt = receipt
        receipt.peer = identity.peer
        let signed = try SignedReceipt(
            receipt, shard: shard, upload: upload, number: 5, identity: identity)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        #expect(String(decoding: try encoder.encode(signed), as: UTF8.self) == text)
        let read = try JSONDecoder().decode(SignedReceipt.self, from: Data(text.utf8))
        #expect(
            try read.verified(shard: shard, upload: upload, number: 5, from: identity.peer)
                == receipt)
    }

    @Test(arguments: Difference.allCases)
    func aReceiptProvesNothingElse(difference: Difference) throws {
        let otherShard = try StoreFixture.block("other").cid
        expectRefusal {
            try signed.verified(
                shard: difference == .shard ? otherShard : shard,
                upload: difference == .upload ? UploadID(high: 1, low: 3) : upload,
                number: difference == .number ? 6 : 5,
                from: difference == .peer ? PeerIdentity().peer : identity.peer)
        }
    }

    @Test func aReceiptThatAnotherPeerSignedIsRefused() throws {
        let forged = try SignedReceipt(
            receipt, shard: shard, upload: upload, number: 5, identity: PeerIdentity())
        expectRefusal { try verify(forged) }
    }

    @Test(arguments: [
        ("generation", "8"), ("generation", "-7"), ("file_bytes", "999"), ("file_bytes", "0"),
        ("storage", "\"00000000000000030000000000000005\""), ("storage", "\"\""),
    ])
    func aReceiptOfWhichAFieldWasChangedIsRefused(field: String, value: String) throws {
        let changed = try change(field, to: value)
        expectRefusal { try verify(changed) }
    }

    /// The state has none of these: its command would be taken and could be read by nobody.
    @Test(arguments: [(-1, 1000), (7, -1)])
    func numbersBelowZeroAreRefusedAlsoWhenSigned(generation: Int, fileByteCount: Int) throws {
        let receipt = Receipt(
            peer: identity.peer, storageID: StorageID(high: 3, low: 4), generation: generation,
            fileByteCount: fileByteCount)
        let signed = try SignedReceipt(
            receipt, shard: shard, upload: upload, number: 5, identity: identity)
        expectRefusal { try verify(signed) }
    }

    @Test(arguments: ["", "!", "AAAA", "not base64"])
    func aReceiptWithoutASignatureIsRefused(signature: String) throws {
        let changed = try change("signature", to: "\"\(signature)\"")
        expectRefusal { try verify(changed) }
    }

    @Test func aReceiptWithAChangedSignatureIsRefused() throws {
        var signature = try #require(Data(base64Encoded: signed.signature))
        signature[0] ^= 1
        let changed = try change("signature", to: "\"\(signature.base64EncodedString())\"")
        expectRefusal { try verify(changed) }
    }

    @Test func aSignatureForAnotherReceiptIsRefused() throws {
        let other = try SignedReceipt(
            receipt, shard: shard, upload: upload, number: 6, identity: identity)
        let changed = try change("signature", to: "\"\(other.signature)\"")
        expectRefusal { try verify(changed) }
    }

    // MARK: Means

    private func verify(_ signed: SignedReceipt) throws -> Receipt {
        try signed.verified(shard: shard, upload: upload, number: 5, from: identity.peer)
    }

    private func expectRefusal(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Receipt
    ) {
        #expect(sourceLocation: sourceLocation) {
            try body()
        } throws: { error in
            if case PeerError.badReceipt = error { true } else { false }
        }
    }

    /// The receipt with another value of one field of its JSON.
    private func change(_ field: String, to value: String) throws -> SignedReceipt {
        let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(signed))
        var fields = try #require(object as? [String: Any])
        fields[field] = try JSONSerialization.jsonObject(
            with: Data(value.utf8), options: .fragmentsAllowed)
        return try JSONDecoder().decode(
            SignedReceipt.self, from: JSONSerialization.data(withJSONObject: fields))
    }
}
