import CSQLite
import PosixIO

/// The table one would write instead: the same two columns, clustered by key, a transaction a shard.
final class SQLiteSubject: Subject {
    private let path: String
    private let database: OpaquePointer
    private let insertion: OpaquePointer
    private let selection: OpaquePointer

    init(_ path: String) throws {
        self.path = path
        for suffix in ["", "-wal", "-shm"] { try FileSystem.removeFile(path + suffix) }
        var database: OpaquePointer?
        precondition(sqlite3_open(path, &database) == SQLITE_OK, "cannot open \(path)")
        self.database = database!
        let schema = """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            PRAGMA cache_size = -16384;
            CREATE TABLE block (key INTEGER, shard INTEGER, PRIMARY KEY (key, shard)) WITHOUT ROWID;
            """
        precondition(
            sqlite3_exec(database, schema, nil, nil, nil) == SQLITE_OK, "cannot make the table")
        var statement: OpaquePointer?
        sqlite3_prepare_v2(database, "INSERT INTO block VALUES (?, ?)", -1, &statement, nil)
        insertion = statement!
        sqlite3_prepare_v2(
            database, "SELECT shard FROM block WHERE key = ?", -1, &statement, nil)
        selection = statement!
    }

    deinit {
        sqlite3_finalize(insertion)
        sqlite3_finalize(selection)
        sqlite3_close(database)
    }

    func add(_ serial: UInt32, _ sortedKeys: [UInt64]) {
        sqlite3_exec(database, "BEGIN", nil, nil, nil)
        for key in sortedKeys {
            sqlite3_bind_int64(insertion, 1, Int64(bitPattern: key))
            sqlite3_bind_int64(insertion, 2, Int64(serial))
            precondition(sqlite3_step(insertion) == SQLITE_DONE, "cannot insert")
            sqlite3_reset(insertion)
        }
        precondition(sqlite3_exec(database, "COMMIT", nil, nil, nil) == SQLITE_OK, "no commit")
    }

    /// Look-ups then run in one read transaction, which is the kindest case.
    func endBuilding() {
        sqlite3_exec(database, "PRAGMA wal_checkpoint(TRUNCATE)", nil, nil, nil)
        sqlite3_exec(database, "BEGIN", nil, nil, nil)
    }

    func endReading() { sqlite3_exec(database, "COMMIT", nil, nil, nil) }

    func countShards(with key: UInt64) -> Int {
        sqlite3_bind_int64(selection, 1, Int64(bitPattern: key))
        var count = 0
        while sqlite3_step(selection) == SQLITE_ROW { count += 1 }
        sqlite3_reset(selection)
        return count
    }

    func fileByteCount() throws -> Int {
        try FileSystem.loadStatus(path)?.byteCount ?? 0
    }
}
