/// Why the file with the state could not be opened, read or written.
package enum StateStoreError: Error, Equatable, Sendable, CustomStringConvertible {
    case newerFormat(path: String, found: UInt64, known: UInt64)
    case notAStateFile(path: String)
    case damaged(path: String, finding: String)
    case sqlite(path: String, cause: String)

    package var description: String {
        switch self {
        case .newerFormat(let path, let found, let known):
            """
            the state in \(path) has format version \(found), this program knows versions up to \
            \(known); start the newer program that wrote it, or restore an older state
            """
        case .notAStateFile(let path):
            """
            \(path) is no state but a file of another program, or its beginning is damaged; put a backup of the \
            state in its place, or name another data directory
            """
        case .damaged(let path, let finding):
            """
            the state in \(path) is damaged (\(finding)); keep the file for inspection and put a backup of it \
            in its place
            """
        case .sqlite(let path, let cause):
            """
            SQLite failed on \(path): \(cause); check the disk, its free space and the permissions \
            of the data directory
            """
        }
    }
}
