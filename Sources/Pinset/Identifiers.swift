/// A command's place in the log: opaque, increasing, with gaps. Zero comes before the first one.
package struct LogIndex: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static let beforeFirst = LogIndex(rawValue: 0)

    package var description: String { String(rawValue) }

    package static func < (left: LogIndex, right: LogIndex) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A proposer's clock as recorded in the log: the only notion of time in the state, never decisive
/// for safety. The state's own log time does not run backwards.
package struct LogTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let millisecondsSinceEpoch: UInt64

    package init(millisecondsSinceEpoch: UInt64) {
        self.millisecondsSinceEpoch = millisecondsSinceEpoch
    }

    package static let zero = LogTime(millisecondsSinceEpoch: 0)

    package var description: String { "\(millisecondsSinceEpoch) ms" }

    package static func < (left: LogTime, right: LogTime) -> Bool {
        left.millisecondsSinceEpoch < right.millisecondsSinceEpoch
    }
}

/// Makes a retry safe: one ID is applied at most once.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    /// The log index up to which the proposer had applied the log when it made the ID. A state
    /// that no longer remembers requests as old as that refuses the ID.
    package let proposerIndex: LogIndex
    /// 128 random bits.
    package let high: UInt64
    package let low: UInt64

    package init(proposerIndex: LogIndex, high: UInt64, low: UInt64) {
        self.proposerIndex = proposerIndex
        self.high = high
        self.low = low
    }

    /// Reads the 24 bytes of `bytes`; `nil` for any other number of them.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 24 else { return nil }
        proposerIndex = LogIndex(rawValue: BigEndian.word(bytes.prefix(8)))
        high = BigEndian.word(bytes.dropFirst(8).prefix(8))
        low = BigEndian.word(bytes.dropFirst(16))
    }

    /// Proposer index, then the random bits, highest byte first.
    package var bytes: [UInt8] {
        BigEndian.bytes(proposerIndex.rawValue) + BigEndian.bytes(high) + BigEndian.bytes(low)
    }

    package var description: String { "\(proposerIndex)-\(Hexadecimal.text(bytes.dropFirst(8)))" }
}

/// Identity of a data directory: a wiped or swapped disk has another one.
package struct StorageID: Hashable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads sixteen bytes; `nil` for any other number of them.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        high = BigEndian.word(bytes.prefix(8))
        low = BigEndian.word(bytes.dropFirst(8))
    }

    /// Reads the 32 lower-case hexadecimal digits that `description` writes.
    package init?(_ text: String) {
        guard let bytes = Hexadecimal.bytes(text) else { return nil }
        self.init(bytes: bytes)
    }

    package var bytes: [UInt8] { BigEndian.bytes(high) + BigEndian.bytes(low) }

    package var description: String { Hexadecimal.text(bytes) }
}
