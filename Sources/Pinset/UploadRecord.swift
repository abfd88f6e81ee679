import Multiformats
import ShardPlanner

/// How deep a pin reaches, by the names of ipfs-cluster.
package enum PinMode: UInt8, Sendable {
    case recursive = 0
    case direct = 1
}

/// Text that a user attached to a pin: keys are unique and ascending by their bytes.
package struct PinMetadata: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        package let key: String
        package let value: String
    }

    package let entries: [Entry]

    package init(_ values: [String: String] = [:]) {
        self.init(values.map { Entry(key: $0.key, value: $0.value) })
    }

    /// Takes entries in any order; their keys must differ in their bytes.
    init(_ entries: [Entry]) {
        self.entries = entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }

    package subscript(key: String) -> String? { entries.first { $0.key == key }?.value }

    /// The entries without their order.
    package var dictionary: [String: String] {
        Dictionary(entries.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    }
}

/// What an upload asks for; most of it ends up in its pins.
package struct UploadOptions: Equatable, Sendable {
    /// Name of the pins; may be empty.
    package var name: String
    package var policy: AllocationPolicy
    /// Sum of block sizes that a shard stays below; `nil` for one shard without a limit.
    package var shardLimitByteCount: Int?
    /// When the pin ends; `nil` for never.
    package var expireAt: LogTime?
    package var metadata: PinMetadata
    /// Where else the content is, by the user's word; shown again, not used.
    package var origins: [String]
    package var mode: PinMode
    /// The peer that takes the bytes and proposes the upload's commands.
    package var coordinator: PeerID
    /// File bytes of one copy as far as known when the upload opens; checked against all free
    /// space, so that what cannot fit is refused before its first byte.
    package var expectedByteCount: Int?

    package init(
        name: String, policy: AllocationPolicy, shardLimitByteCount: Int?, coordinator: PeerID,
        expireAt: LogTime? = nil, metadata: PinMetadata = PinMetadata(), origins: [String] = [],
        mode: PinMode = .recursive, expectedByteCount: Int? = nil
    ) {
        self.name = name
        self.policy = policy
        self.shardLimitByteCount = shardLimitByteCount
        self.coordinator = coordinator
        self.expireAt = expireAt
        self.metadata = metadata
        self.origins = origins
        self.mode = mode
        self.expectedByteCount = expectedByteCount
    }
}

/// An upload: open, or ended and remembered for a while.
package struct UploadRecord: Equatable, Sendable {
    package enum Phase: Equatable, Sendable {
        case open
        case committed(root: CID, at: LogTime)
        case aborted(reason: String, at: LogTime)
    }

    package var id: UploadID
    package var options: UploadOptions
    package var openedAt: LogTime
    package var openedIndex: LogIndex
    /// How often it was renewed; an expiry names the count it saw.
    package var renewals = 0
    package var phase: Phase = .open
    /// The command that ended it; `nil` while it is open.
    package var endedIndex: LogIndex?

    package var isOpen: Bool { phase == .open }

    /// Why the upload of a further copy ends, whose shard stays with the roots that have it.
    package static let copyIsMade = "the copy is made"

    /// What has become of an upload.
    package enum Ending: String, CaseIterable, Sendable {
        case committed, aborted
        /// It made a further copy of a shard.
        case copied
    }

    /// `nil` while it is open.
    package var ending: Ending? {
        switch phase {
        case .open: nil
        case .committed: .committed
        case .aborted(let reason, _): reason == Self.copyIsMade ? .copied : .aborted
        }
    }

    /// When it ended; `nil` while it is open.
    package var endedAt: LogTime? {
        switch phase {
        case .open: nil
        case .committed(_, let at), .aborted(_, let at): at
        }
    }
}
