import ShardPlanner
import Synchronization

/// Disk space that shards take here until other peers have them. The state counts it on those peers only.
package final class Spool: Sendable {
    /// A shard in staging.
    struct Name: Hashable {
        var upload: UploadID
        var number: Int
    }

    /// What the file of a shard may grow to.
    private let promised = Mutex<[Name: Int]>([:])

    /// Bytes that the files may still take.
    ///
    /// - Parameter written: What files in staging have taken so far.
    func waitingByteCount(beside written: [Name: Int]) -> Int {
        promised.withLock { Self.waitingByteCount($0, written) }
    }

    private static func waitingByteCount(_ promised: [Name: Int], _ written: [Name: Int]) -> Int {
        promised.reduce(0) { sum, shard in
            sum + max(0, shard.value - written[shard.key, default: 0])
        }
    }

    /// Promises space to a shard, unless there is none.
    ///
    /// - Parameter check: Throws when the files may not take that many bytes; nothing has changed then.
    func raise(
        _ name: Name, to byteCount: Int, beside written: [Name: Int], check: (Int) throws -> Void
    ) throws {
        // One at a time: two that each fit need not fit together.
        try promised.withLock { promised in
            let former = promised.updateValue(byteCount, forKey: name)
            do {
                try check(Self.waitingByteCount(promised, written))
            } catch {
                promised[name] = former
                throw error
            }
        }
    }

    fileprivate func lower(_ name: Name, to byteCount: Int) {
        promised.withLock { promised in
            promised[name] = promised[name].map { min($0, byteCount) }
        }
    }

    fileprivate func remove(_ name: Name) { promised.withLock { $0[name] = nil } }
}

/// What one shard takes of the spool, given back when this goes at the latest.
package final class SpoolSpace: Sendable {
    let name: Spool.Name
    private let spool: Spool
    private let isReleased = Mutex(false)

    init(_ name: Spool.Name, of spool: Spool) {
        self.name = name
        self.spool = spool
    }

    deinit { release() }

    /// The file is whole, and this long.
    package func end(at byteCount: Int) { spool.lower(name, to: byteCount) }

    package func release() {
        isReleased.withLock { isReleased in
            if !isReleased { spool.remove(name) }
            isReleased = true
        }
    }
}
