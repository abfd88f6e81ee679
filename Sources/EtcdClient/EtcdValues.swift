/// A key with its value, as one revision has it.
package struct EtcdKeyValue: Equatable, Sendable {
    package var key: [UInt8]
    package var value: [UInt8]
    /// The revision that made the key.
    package var createRevision: UInt64
    /// The revision that changed it last.
    package var modRevision: UInt64
    /// The lease it goes with; 0 for none.
    package var lease: UInt64
}

/// Which keys to read, and how.
package struct EtcdRange: Sendable {
    package enum Order: Sendable {
        case keys
        /// Oldest first, by the revision that made a key.
        case oldestFirst
        case newestFirst
    }

    package var keys: EtcdKeys
    package var order = Order.keys
    /// Most keys in one answer; `nil` for all.
    package var limit: Int?
    /// Leaves out keys made before this revision.
    package var minimumCreateRevision: UInt64?
    /// Leaves out keys made after this revision.
    package var maximumCreateRevision: UInt64?
    package var keysOnly = false

    package init(_ keys: EtcdKeys) {
        self.keys = keys
    }
}

/// One key, or all that begin alike.
package enum EtcdKeys: Equatable, Sendable {
    case one([UInt8])
    /// Not empty and not all 0xFF.
    case beginning([UInt8])

    var first: [UInt8] {
        switch self {
        case .one(let key), .beginning(let key): key
        }
    }

    /// The first key behind them; `nil` for one key.
    var end: [UInt8]? {
        guard case .beginning(var prefix) = self else { return nil }
        while prefix.last == 0xFF { prefix.removeLast() }
        precondition(!prefix.isEmpty, "no key lies behind this prefix")
        prefix[prefix.count - 1] += 1
        return prefix
    }
}

package struct EtcdRangeResult: Sendable {
    /// Of the whole store, when the answer was made.
    package var revision: UInt64
    package var clusterID: UInt64
    package var keyValues: [EtcdKeyValue]
    /// The limit left keys out.
    package var hasMore: Bool
}

package enum EtcdCondition: Sendable {
    case isAbsent([UInt8])
    /// The key was changed last by this revision; 0 for a key that is not there.
    case isUnchanged([UInt8], since: UInt64)
}

package enum EtcdOperation: Sendable {
    case put([UInt8], value: [UInt8], lease: UInt64 = 0)
    case delete([UInt8])
    case range(EtcdRange)
}

package struct EtcdTransactionResult: Sendable {
    /// Whether the conditions held.
    package var isDone: Bool
    package var revision: UInt64
    package var clusterID: UInt64
    /// One for each operation of the side that was taken; `nil` where it was no range.
    package var ranges: [EtcdRangeResult?]
}

/// Which keys to follow as they are put; deletions are left out.
package struct EtcdWatch: Sendable {
    package var keys: EtcdKeys
    package var startRevision: UInt64

    package init(_ keys: EtcdKeys, from startRevision: UInt64) {
        self.keys = keys
        self.startRevision = startRevision
    }
}
