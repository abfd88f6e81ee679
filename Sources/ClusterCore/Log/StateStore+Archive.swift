import Foundation
import GRDB
import Pinset

/// How many applied commands a peer keeps for `why`, replay and history.
package enum ArchiveRetention: Equatable, Sendable {
    case everything
    /// At least this many of the newest commands.
    case newest(Int)

    package static let `default` = ArchiveRetention.newest(1_000_000)
}

/// One applied command as it is kept: its place, the clock of its proposer, its identity, its bytes.
package struct ArchivedEntry: Equatable, Sendable {
    package var index: LogIndex
    package var time: LogTime
    package var requestID: RequestID
    package var commandBytes: [UInt8]

    init(_ entry: LogEntry) {
        index = entry.index
        time = entry.proposal.time
        requestID = entry.proposal.requestID
        commandBytes = entry.proposal.commandBytes
    }

    fileprivate init(_ row: Row, path: String) throws {
        index = LogIndex(rawValue: UInt64(row[0] as Int64))
        time = LogTime(millisecondsSinceEpoch: UInt64(bitPattern: row[1] as Int64))
        guard let requestID = RequestID(bytes: row.bytes(2)) else {
            throw StateStoreError.damaged(
                path: path, finding: "the request ID of archived command \(index) is not 24 bytes")
        }
        self.requestID = requestID
        commandBytes = row.bytes(3)
    }
}

extension StateStore {
    /// Trimming waits until this many commands are too many, so that most transactions do none of it.
    private static let trimSlice = 100
    /// Trimming removes at most this many commands in one transaction, so that a lowered limit does
    /// not stall the log.
    private static let trimLimit = 1_000

    /// The oldest command that may be missing: everything after this index is in the archive.
    package func archiveTrimmedThrough() async throws -> LogIndex {
        try await pool.read { db in
            LogIndex(rawValue: UInt64(try Self.meta(db, .trimmedThrough) ?? 0))
        }
    }

    /// Up to `limit` archived entries after `index`, oldest first.
    ///
    /// Reads beside the writer, so a long replay does not hold the log.
    package func archivedEntries(
        after index: LogIndex, limit: Int
    ) async throws -> [ArchivedEntry] {
        let sql = """
            SELECT log_index, log_time, request_id, command FROM archive
            WHERE log_index > ? ORDER BY log_index LIMIT ?
            """
        return try await pool.read { [path] db in
            let rows = try Row.fetchCursor(
                db, sql: sql, arguments: [Int64(index.rawValue), limit])
            var entries: [ArchivedEntry] = []
            while let row = try rows.next() {
                entries.append(try ArchivedEntry(row, path: path))
            }
            return entries
        }
    }

    /// The place through which the log may forget commands so that it keeps the newest `count`, or as
    /// many of them as have `byteCount` bytes; `nil` when that is all.
    func indexBeforeNewest(_ count: Int, byteCount: Int) async throws -> LogIndex? {
        let sql = """
            SELECT max(log_index) FROM (
                SELECT log_index, row_number() OVER newest AS number,
                    sum(length(command)) OVER newest AS bytes
                FROM (SELECT * FROM archive ORDER BY log_index DESC LIMIT ?)
                WINDOW newest AS (ORDER BY log_index DESC)
            ) WHERE number > ? OR bytes > ?
            """
        return try await pool.read { db in
            try Int64.fetchOne(db, sql: sql, arguments: [count + 1, count, byteCount])
                .map { LogIndex(rawValue: UInt64($0)) }
        }
    }

    static func archive(_ entries: [ArchivedEntry], _ db: Database) throws {
        let insert = try db.cachedStatement(
            sql: """
                INSERT INTO archive (log_index, log_time, request_id, command) VALUES (?, ?, ?, ?)
                """)
        for entry in entries {
            try insert.execute(arguments: [
                Int64(entry.index.rawValue), Int64(bitPattern: entry.time.millisecondsSinceEpoch),
                Data(entry.requestID.bytes), Data(entry.commandBytes),
            ])
        }
    }

    /// Removes the oldest entries beyond the retention limit, a slice at a time.
    func trimArchive(_ db: Database, added: Int) throws {
        let count = archiveCount.withLock { count in
            count += added
            return count
        }
        guard case .newest(let kept) = retention, count >= kept + Self.trimSlice else { return }
        let slice = min(count - kept, Self.trimLimit)
        let sql = "SELECT log_index FROM archive ORDER BY log_index LIMIT 1 OFFSET ?"
        guard let last = try Int64.fetchOne(db, sql: sql, arguments: [slice - 1]) else { return }
        try db.execute(sql: "DELETE FROM archive WHERE log_index <= ?", arguments: [last])
        try Self.setMeta(db, .trimmedThrough, last)
        archiveCount.withLock { $0 -= slice }
    }
}
