/// How an upload is doing, as `GET /uploads/{id}` shows it.
package struct UploadStatus: Equatable, Sendable, Codable {
    package enum State: String, Codable, Sendable {
        case open, committed, aborted
    }

    package var id: String
    package var state: State
    package var name: String
    /// The peer that takes the upload in.
    package var coordinator: String
    package var opened: WallTime
    /// Bytes of the body that are acknowledged, where the peer that is asked takes the upload in and has
    /// it at hand.
    package var offset: UInt64?
    /// Bytes of the whole body, if the client said so.
    package var length: UInt64?
    package var shardsSealed: Int
    package var reservedBytes: UInt64
    /// The root, once it is committed.
    package var root: String?
    /// Why it was aborted.
    package var error: ErrorDocument?

    private enum CodingKeys: String, CodingKey {
        case id, state, name, coordinator, opened, offset, length, root, error
        case shardsSealed = "shards_sealed"
        case reservedBytes = "reserved_bytes"
    }

    package init(
        id: String, state: State, name: String, coordinator: String, opened: WallTime,
        offset: UInt64? = nil, length: UInt64? = nil, shardsSealed: Int = 0,
        reservedBytes: UInt64 = 0, root: String? = nil, error: ErrorDocument? = nil
    ) {
        self.id = id
        self.state = state
        self.name = name
        self.coordinator = coordinator
        self.opened = opened
        self.offset = offset
        self.length = length
        self.shardsSealed = shardsSealed
        self.reservedBytes = reservedBytes
        self.root = root
        self.error = error
    }
}
