import Foundation
import Multiformats
import Pinset
import ShardPlanner

/// A peer's word, under its own key, that a shard of an upload is durable on its disk.
package struct SignedReceipt: Codable, Sendable {
    package let shard: String
    package let upload: String
    package let number: Int
    package let peer: String
    package let storage: String
    package let generation: Int
    package let fileBytes: Int
    /// Base64 of the Ed25519 signature.
    package let signature: String

    enum CodingKeys: String, CodingKey {
        case shard, upload, number, peer, storage, generation, signature
        case fileBytes = "file_bytes"
    }

    package init(
        _ receipt: Receipt, shard: CID, upload: UploadID, number: Int, identity: PeerIdentity
    ) throws {
        self.shard = shard.description
        self.upload = upload.description
        self.number = number
        peer = receipt.peer.description
        storage = receipt.storageID.description
        generation = receipt.generation
        fileBytes = receipt.fileByteCount
        let message = Self.message(receipt, shard: shard, upload: upload, number: number)
        signature = Data(try identity.sign(message, for: .receipt)).base64EncodedString()
    }

    /// What the receipt proves.
    ///
    /// - Throws: `PeerError.badReceipt` unless that peer signed it for this shard of this upload.
    package func verified(
        shard: CID, upload: UploadID, number: Int, from peer: PeerID
    ) throws -> Receipt {
        guard let storageID = StorageID(storage), generation >= 0, fileBytes >= 0,
            let signature = Data(base64Encoded: signature)
        else { throw PeerError.badReceipt(peer, "it is malformed") }
        guard self.shard == "\(shard)", self.upload == "\(upload)", self.number == number,
            self.peer == "\(peer)"
        else { throw PeerError.badReceipt(peer, "it is for another shard") }
        let receipt = Receipt(
            peer: peer, storageID: storageID, generation: generation, fileByteCount: fileBytes)
        let message = Self.message(receipt, shard: shard, upload: upload, number: number)
        guard peer.signed(message, for: .receipt, signature: Array(signature)) else {
            throw PeerError.badReceipt(peer, "its signature is not over this shard")
        }
        return receipt
    }

    private static func message(
        _ receipt: Receipt, shard: CID, upload: UploadID, number: Int
    ) -> [UInt8] {
        let fields = [
            "\(shard)", "\(upload)", "\(number)", "\(receipt.peer)", "\(receipt.storageID)",
            "\(receipt.generation)", "\(receipt.fileByteCount)",
        ]
        return Array(fields.joined(separator: "\n").utf8)
    }
}
