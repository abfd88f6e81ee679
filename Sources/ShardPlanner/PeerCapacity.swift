import Multiformats

/// What placement knows of a peer, in file bytes.
package struct PeerCapacity: Equatable, Sendable {
    /// Whether the peer may take new shards.
    package enum State: Equatable, Sendable {
        case up
        case draining
        /// Not heard of since this log time, in milliseconds.
        case down(sinceMilliseconds: UInt64)
    }

    package var peer: PeerID
    /// The most bytes the peer lends to shards.
    package var capacityByteCount: Int
    /// Bytes of its copies, dropped ones that it still has on disk included.
    package var usedByteCount: Int
    /// Bytes promised to uploads that have not sealed their shards yet.
    package var reservedByteCount: Int
    /// Failure domain that the operator named, such as a room; `nil` when there is none.
    package var zone: String?
    /// The machine under the peer; `nil` when the peer is the only one on its machine.
    package var host: String?
    package var state: State

    package init(
        peer: PeerID, capacityByteCount: Int, usedByteCount: Int = 0, reservedByteCount: Int = 0,
        zone: String? = nil, host: String? = nil, state: State = .up
    ) {
        self.peer = peer
        self.capacityByteCount = capacityByteCount
        self.usedByteCount = usedByteCount
        self.reservedByteCount = reservedByteCount
        self.zone = zone
        self.host = host
        self.state = state
    }

    /// Bytes that may still be promised; 0 for an over-committed peer.
    package var freeByteCount: Int {
        max(0, capacityByteCount - usedByteCount - reservedByteCount)
    }
}
