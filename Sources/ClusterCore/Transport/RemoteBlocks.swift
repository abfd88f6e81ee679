import Logging
import Multiformats
import NIOCore
import Pinset
import PosixIO
import Synchronization

/// Finds blocks on other peers.
///
/// Which peer has a block is not known: each is asked in turn, first the one that had the last block
/// found, since blocks of one shard are read one after the other.
package final class RemoteBlocks: Sendable {
    private let peer: LocalPeer
    private let client: PeerClient
    private let lastHit = Mutex<PeerID?>(nil)

    package init(peer: LocalPeer, client: PeerClient) {
        self.peer = peer
        self.client = client
    }

    /// A block, verified against its CID; `nil` when no live peer has it whole.
    package func load(_ cid: CID, limit: Int) async throws -> ByteBuffer? {
        let first = lastHit.withLock { $0 }
        let others = try await peer.driver.read { [id = peer.id] state in
            state.members.filter { $0.peer != id && $0.status == .up }
        }
        for other in others.filter({ $0.peer == first }) + others.filter({ $0.peer != first }) {
            do {
                guard let bytes = try await client.block(cid, limit: limit, from: other) else {
                    continue
                }
                guard try await isIntact(bytes, cid) else {
                    peer.log.error(
                        "a peer sent a damaged block",
                        metadata: ["peer": "\(other.peer)", "block": "\(cid)"])
                    continue
                }
                lastHit.withLock { $0 = other.peer }
                return bytes
            } catch let error as PeerError {
                peer.log.info(
                    "a peer could not be asked for a block", metadata: ["error": "\(error)"])
            }
        }
        return nil
    }

    private func isIntact(_ bytes: ByteBuffer, _ cid: CID) async throws -> Bool {
        try await peer.workers.run {
            try bytes.withUnsafeReadableBytes { try BlockVerifier().verify(cid, $0) }
        }
    }
}
