import Multiformats
import ShardPlanner

@testable import Pinset

/// Short names for the IDs of tests. A peer called "a" has a key of bytes "a"; other IDs are
/// digests of their names.
enum Names {
    static func peer(_ name: String) -> PeerID {
        let letters = Array(name.utf8)
        do {
            return try PeerID(publicKey: (0..<32).map { letters[$0 % letters.count] })
        } catch {
            fatalError("\(error)")
        }
    }

    static func storage(of peer: PeerID) -> StorageID {
        StorageID(high: 1, low: BigEndian.word(peer.publicKey.prefix(8)))
    }

    static func cid(_ name: String) -> CID { cid(name, .dagCBOR) }

    static func cid(_ name: String, _ codec: Codec) -> CID {
        do {
            return try BlockHasher(.sha2_256).cid(version: .v1, codec: codec, Array(name.utf8))
        } catch {
            fatalError("\(error)")
        }
    }

    static func upload(_ name: String) -> UploadID {
        let digest = cid(name).withDigest { Array($0.prefix(16)) }
        guard let id = UploadID(bytes: digest) else { fatalError("a digest has 16 bytes") }
        return id
    }

    static func clusterDAG(_ shards: [String]) -> CID {
        do {
            return try ListNode.root(of: shards.map(cid))
        } catch {
            fatalError("\(error)")
        }
    }

    static func join(
        _ name: String, zone: String? = nil, host: String? = nil, capacity: Int,
        storage: StorageID? = nil, replacing: Bool = false
    ) -> PeerJoin {
        PeerJoin(
            peer: peer(name), name: name, addresses: ["\(name).example:9096"], zone: zone,
            host: host, storageID: storage ?? self.storage(of: peer(name)),
            capacityByteCount: capacity, replacesStorage: replacing)
    }
}
