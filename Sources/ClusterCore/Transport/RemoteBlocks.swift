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

    /// A block, verified against its CID; `nil` when all peers were asked and none has it.
    ///
    /// - Throws: `BlockUnavailable` when a peer that could not be asked may have it, `BlockDamaged` when
    ///   all were asked and some have it, damaged.
    package func load(_ cid: CID, limit: Int) async throws -> ByteBuffer? {
        let (found, known) = try await ask(for: cid, limit: limit, .plain, unlessAt: nil)
        if let found { return found }
        // The root may have been committed a moment ago by somebody who knows more than this peer.
        return try await ask(for: cid, limit: limit, .linearizable, unlessAt: known).found
    }

    /// - Parameter index: Where the state was when all were asked before.
    /// - Returns: The block, and where the state is now.
    private func ask(
        for cid: CID, limit: Int, _ level: ReadLevel, unlessAt index: LogIndex?
    ) async throws -> (found: ByteBuffer?, applied: LogIndex) {
        let first = lastHit.withLock { $0 }
        let (others, applied) = try await peer.driver.read(level) { [id = peer.id] state in
            (state.members.filter { $0.peer != id }, state.appliedIndex)
        }
        if applied == index { return (nil, applied) }
        var silent = others.filter { $0.status != .up }.map(\.peer)
        var damaged: [PeerID] = []
        let live = others.filter { $0.status == .up }
        for other in live.sorted(by: { rank($0.peer, after: first) < rank($1.peer, after: first) })
        {
            do {
                let answer = try await client.block(
                    cid, minimumIndex: applied, limit: limit, from: other)
                guard let bytes = answer else { continue }
                guard try await isIntact(bytes, cid) else {
                    peer.log.error(
                        "a peer sent a damaged block",
                        metadata: ["peer": "\(other.peer)", "block": "\(cid)"])
                    damaged.append(other.peer)
                    continue
                }
                lastHit.withLock { $0 = other.peer }
                return (bytes, applied)
            } catch PeerError.refused(_, 500, let message) {
                // It has the block, and cannot read it as it should be.
                peer.log.error(
                    "a peer has a damaged block",
                    metadata: ["peer": "\(other.peer)", "block": "\(cid)", "error": "\(message)"])
                damaged.append(other.peer)
            } catch let error as PeerError {
                peer.log.info(
                    "a peer could not be asked for a block", metadata: ["error": "\(error)"])
                silent.append(other.peer)
            }
        }
        guard silent.isEmpty else { throw BlockUnavailable(block: cid, silent: silent) }
        guard damaged.isEmpty else { throw BlockDamaged(block: cid, peers: damaged) }
        return (nil, applied)
    }

    /// Who had the last block comes first, who does not answer last.
    private func rank(_ other: PeerID, after lastHit: PeerID?) -> Int {
        client.isSilent(other) ? 2 : other == lastHit ? 0 : 1
    }

    private func isIntact(_ bytes: ByteBuffer, _ cid: CID) async throws -> Bool {
        try await peer.workers.run {
            try bytes.withUnsafeReadableBytes { try BlockVerifier().verify(cid, $0) }
        }
    }
}

/// No peer that answers has a block, and others may.
package struct BlockUnavailable: Error, CustomStringConvertible {
    let block: CID
    let silent: [PeerID]

    package var description: String {
        "block \(block) is whole on no peer that answers; these may have it and do not answer: "
            + silent.map(\.description).joined(separator: ", ")
    }
}

/// No peer has a block as it should be.
package struct BlockDamaged: Error, CustomStringConvertible {
    let block: CID
    let peers: [PeerID]

    package var description: String {
        "block \(block) is damaged on every peer that has it: "
            + peers.map(\.description).joined(separator: ", ")
    }
}
