import Foundation
import GRDB
import Pinset
import PosixIO
import Synchronization

/// A peer's copy of the replicated state on disk, and the commands that led to it.
///
/// One SQLite file in WAL mode with `synchronous=FULL`. A batch of log entries is one transaction:
/// the rows of the state that changed, the applied index, and the entries themselves. With one
/// machine the archived entries *are* the log; with several they are this peer's copy of it.
///
/// Not isolated by itself. Only `PinsetDriver` writes, on its own queue.
package final class StateStore: Sendable {
    /// The newest file format this program reads and the one it writes.
    static let formatVersion: UInt64 = 1

    package let path: String
    let pool: DatabasePool
    let retention: ArchiveRetention
    /// Entries in the archive. Only the writing queue touches it; the lock is for the compiler, since
    /// opening and saving are on different threads.
    let archiveCount: Mutex<Int>

    /// Opens the file, creates it when it is missing, and checks it.
    ///
    /// - Throws: `newerFormat` or `notAStateFile` without having changed anything but SQLite's own
    ///   side files; `damaged` when SQLite's check of the file's structure fails.
    package init(
        path: String, retention: ArchiveRetention = .default
    ) throws(StateStoreError) {
        self.path = path
        self.retention = retention
        let pool = try Self.naming(path) { try Self.openPool(path) }
        let archived = try Self.naming(path) {
            try pool.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM archive") }
        }
        self.pool = pool
        archiveCount = Mutex(archived ?? 0)
    }

    /// The path and the answer of SQLite are in every error of this type.
    static func naming<Result>(
        _ path: String, _ body: () throws -> Result
    ) throws(StateStoreError) -> Result {
        do {
            return try body()
        } catch let error as StateStoreError {
            throw error
        } catch let error as DatabaseError where error.resultCode == .SQLITE_NOTADB {
            throw .notAStateFile(path: path)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
            throw .damaged(path: path, finding: error.message ?? "no message")
        } catch {
            throw .sqlite(path: path, cause: String(describing: error))
        }
    }

    private static func openPool(_ path: String) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.label = "state"
        configuration.maximumReaderCount = 2
        // Statements carry request IDs and names: keep them out of error texts.
        configuration.publicStatementArguments = false
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.writeWithoutTransaction { db in
            try checkFormat(db, path: path)
            try checkStructure(db, path: path)
            // GRDB chooses NORMAL for WAL files after its own hooks have run. NORMAL syncs only at
            // checkpoints, so an answered command could be lost to a power cut.
            try db.execute(sql: "PRAGMA synchronous = FULL")
            guard try Int.fetchOne(db, sql: "PRAGMA synchronous") == 2 else {
                throw StateStoreError.sqlite(path: path, cause: "synchronous=FULL was not accepted")
            }
            try createTables(db, path: path)
        }
        return pool
    }

    /// Releases the file after the last transaction. Later calls throw.
    package func close() throws(StateStoreError) {
        try Self.naming(path) {
            // The write-ahead log is moved into the file, so that a stopped peer's state is one file.
            // A reader may be in the way; then the next opening does it, and nothing is lost.
            _ = try? pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }
            try pool.close()
        }
    }
}

// MARK: - The loop's side

extension StateStore {
    /// Restores the state where the last transaction left it; an empty one from a new file.
    package func loadState() throws(StateStoreError) -> PinsetState {
        let rows = try loadRows()
        guard !rows.isEmpty else { return PinsetState() }
        let state: PinsetState
        do {
            state = try PinsetState(rows: rows)
        } catch {
            if case .newerVersion(_, let found, let known) = error {
                throw .newerFormat(path: path, found: found, known: known)
            }
            throw .damaged(path: path, finding: error.description)
        }
        let newest = try newestArchived()
        guard newest == nil || newest == state.appliedIndex else {
            throw .damaged(
                path: path,
                finding: "its archive does not end at log index \(state.appliedIndex) as the state")
        }
        return state
    }

    /// All rows of the state as of one transaction, in order of table and key.
    package func loadRows() throws(StateStoreError) -> [StateRow] {
        var rows: [StateRow] = []
        try forEachSavedRow { rows.append($0) }
        return rows
    }

    /// Hands over all rows, as of one transaction, in order of table and key.
    func forEachSavedRow(_ body: (StateRow) throws -> Void) throws(StateStoreError) {
        try Self.naming(path) {
            try pool.read { [path] db in
                let sql = "SELECT kind, key, value FROM state ORDER BY kind, key"
                let saved = try Row.fetchCursor(db, sql: sql)
                while let row = try saved.next() { try body(try StateRow(row, path: path)) }
            }
        }
    }

    private func newestArchived() throws(StateStoreError) -> LogIndex? {
        try Self.naming(path) {
            try pool.read { db in
                try Int64.fetchOne(db, sql: "SELECT max(log_index) FROM archive")
                    .map { LogIndex(rawValue: UInt64($0)) }
            }
        }
    }

    /// Saves one batch. Durable when it returns; when it throws, it may be saved or not, and only a
    /// new look at the file can tell.
    func save(
        _ changes: [RowChange], entries: [ArchivedEntry]
    ) throws(StateStoreError) {
        try transaction { db in
            try Self.write(changes, db)
            try Self.archive(entries, db)
            try self.trimArchive(db, added: entries.count)
        }
    }

    /// Replaces the whole state by a snapshot.
    ///
    /// The archive is emptied: what it holds does not lead to this state.
    package func replace(with state: PinsetState) throws(StateStoreError) {
        try transaction { db in
            try db.execute(sql: "DELETE FROM state; DELETE FROM archive")
            try state.forEachRow { row in try Self.write([.upsert(row)], db) }
            try Self.setMeta(db, .trimmedThrough, Int64(state.appliedIndex.rawValue))
            self.archiveCount.withLock { $0 = 0 }
        }
    }

    private func transaction(
        _ body: (Database) throws -> Void
    ) throws(StateStoreError) {
        try Self.naming(path) {
            try DiskSeam.transact(path) {
                try pool.writeWithoutTransaction { db in
                    try db.inTransaction(.immediate) {
                        try body(db)
                        return .commit
                    }
                }
            }
        }
    }

    /// Records which history of commands this file belongs to, or tells the one recorded before.
    ///
    /// - Returns: The history this file belongs to, which is `history` only when it had none.
    func claim(_ history: LogHistory) throws(StateStoreError) -> LogHistory {
        let known = try Self.naming(path) {
            try pool.read { db in
                try String.fetchOne(db, sql: "SELECT value FROM meta WHERE name = 'history'")
            }
        }
        if let known { return LogHistory(name: known) }
        try setHistory(history)
        return history
    }

    /// Ties this file to another life of the log.
    package func setHistory(_ history: LogHistory) throws(StateStoreError) {
        try transaction { db in
            try db.execute(
                sql: """
                    INSERT INTO meta (name, value) VALUES ('history', ?)
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value
                    """, arguments: [history.name])
        }
    }

    private static func write(_ changes: [RowChange], _ db: Database) throws {
        let upsert = try db.cachedStatement(
            sql: """
                INSERT INTO state (kind, key, value) VALUES (?, ?, ?)
                ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value
                """)
        let delete = try db.cachedStatement(sql: "DELETE FROM state WHERE kind = ? AND key = ?")
        for change in changes {
            switch change {
            case .upsert(let row):
                try upsert.execute(
                    arguments: [Int64(row.table.rawValue), Data(row.key), Data(row.value)])
            case .delete(let table, let key):
                try delete.execute(arguments: [Int64(table.rawValue), Data(key)])
            }
        }
    }
}

extension StateRow {
    fileprivate init(_ row: Row, path: String) throws {
        let number = row[0] as Int64
        guard let table = UInt8(exactly: number).flatMap(StateTable.init) else {
            throw StateStoreError.damaged(path: path, finding: "row kind \(number) is not known")
        }
        self.init(table: table, key: row.bytes(1), value: row.bytes(2))
    }
}

extension Row {
    /// The blob in this column.
    func bytes(_ column: Int) -> [UInt8] {
        [UInt8](self[column] as Data)
    }
}
