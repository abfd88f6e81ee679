import GRDB
import PosixIO

extension StateStore {
    /// Marks the file as ours in SQLite's header: "PSET".
    private static let applicationID: Int64 = 0x5053_4554

    /// Names of single values in the table `meta`.
    enum MetaName: String {
        case format
        case trimmedThrough = "archive_trimmed_through"
    }

    static func checkFormat(_ db: Database, path: String) throws {
        let application = try Int64.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        guard application == applicationID else {
            let isNew = try application == 0 && tableCount(db) == 0
            guard isNew else { throw StateStoreError.notAStateFile(path: path) }
            return
        }
        guard let found = try meta(db, .format).flatMap({ UInt64(exactly: $0) }) else {
            throw StateStoreError.damaged(path: path, finding: "the format version is missing")
        }
        guard found <= formatVersion else {
            throw StateStoreError.newerFormat(path: path, found: found, known: formatVersion)
        }
    }

    /// Reads every page once and checks that the trees and their order are whole.
    static func checkStructure(_ db: Database, path: String) throws {
        let findings = try String.fetchAll(db, sql: "PRAGMA quick_check(1)")
        guard findings == ["ok"] else {
            throw StateStoreError.damaged(path: path, finding: findings.joined(separator: "; "))
        }
    }

    static func createTables(_ db: Database, path: String) throws {
        guard try tableCount(db) == 0 else { return }
        try DiskSeam.transact(path) {
            try db.inTransaction(.immediate) {
                try db.execute(
                    sql: """
                        CREATE TABLE meta (
                            name TEXT PRIMARY KEY NOT NULL, value ANY NOT NULL
                        ) STRICT, WITHOUT ROWID;
                        CREATE TABLE state (
                            kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                            PRIMARY KEY (kind, key)
                        ) STRICT, WITHOUT ROWID;
                        CREATE TABLE archive (
                            log_index INTEGER PRIMARY KEY NOT NULL,
                            log_time INTEGER NOT NULL,
                            request_id BLOB NOT NULL,
                            command BLOB NOT NULL
                        ) STRICT;
                        PRAGMA application_id = \(applicationID);
                        """)
                try setMeta(db, .format, Int64(formatVersion))
                return .commit
            }
        }
    }

    static func meta(_ db: Database, _ name: MetaName) throws -> Int64? {
        let statement = try db.cachedStatement(sql: "SELECT value FROM meta WHERE name = ?")
        return try Int64.fetchOne(statement, arguments: [name.rawValue])
    }

    static func setMeta(_ db: Database, _ name: MetaName, _ value: Int64) throws {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO meta (name, value) VALUES (?, ?)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value
                """)
        try statement.execute(arguments: [name.rawValue, value])
    }

    private static func tableCount(_ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") ?? 0
    }
}
