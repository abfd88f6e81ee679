import Foundation
import Testing

/// What changes the disk without passing `DiskSeam` could not be made to fail by the checks of the disk. Every line
/// that may do that is named here with its reason.
struct DiskSeamTests {
    private static let reasons: [String: [String]] = [
        "inside of a change that passes the seam": [
            "PosixIO/FileDescriptor.swift: repeatingInterrupted { Glibc.open(path, flags | O_CLOEXEC, permissions) }",
            "PosixIO/FileDescriptor.swift: pwrite(number, rest.baseAddress, rest.count, offset + done)",
            "PosixIO/FileDescriptor.swift: Glibc.write(number, rest.baseAddress, rest.count)",
            "PosixIO/FileDescriptor.swift: guard repeatingInterrupted({ fdatasync(number) }) == 0 else {",
            "PosixIO/FileDescriptor.swift: guard repeatingInterrupted({ fsync(number) }) == 0 else {",
            "PosixIO/FileDescriptor.swift: guard repeatingInterrupted({ ftruncate(number, byteCount) }) == 0 else {",
            "PosixIO/FileDescriptor.swift: code = cshims_fallocate(number, range.lowerBound, range.count)",
            "PosixIO/FileDescriptor.swift: cshims_link_unnamed(number, path)",
            "PosixIO/FileSystem.swift: mkdir(path, permissions) == 0",
            "PosixIO/FileSystem.swift: guard Glibc.rename(path, newPath) == 0 else {",
            "PosixIO/FileSystem.swift: guard Glibc.link(path, newPath) == 0 else { throw IOError.current(\"create\", newPath) }",
            "PosixIO/FileSystem.swift: unlink(path) == 0",
            "PosixIO/FileSystem.swift: guard rmdir(path) == 0 else { throw IOError.current(\"remove directory\", path) }",
        ],
        "how a file is opened that passes the seam where it is made, and with all that is done with it":
            [
                "PosixIO/FileDescriptor.swift: case .update: O_RDWR",
                "PosixIO/FileDescriptor.swift: case .create: O_RDWR | O_CREAT | O_EXCL",
                "PosixIO/FileDescriptor.swift: case .createOrUpdate: O_RDWR | O_CREAT",
                "PosixIO/FileDescriptor.swift: case .append: O_RDWR | O_CREAT | O_APPEND",
                "PosixIO/FileDescriptor.swift: flags & O_CREAT == 0",
            ],
        "scratch, which has no name, or loses it at once": [
            "PosixIO/FileDescriptor.swift: open(directory, cshims_o_tmpfile() | O_RDWR | O_CLOEXEC, 0o600)",
            "PosixIO/FileDescriptor.swift: let created = mkstemp(&template)",
            "PosixIO/FileDescriptor.swift: unlink(template)",
        ],
        "a call that Swift does not see, for those above": [
            "CShims/CShims.c: int cshims_o_tmpfile(void) { return O_TMPFILE; }",
            "CShims/CShims.c: int cshims_fallocate(int descriptor, off_t offset, off_t count)",
            "CShims/CShims.c: return fallocate(descriptor, 0, offset, count) == 0 ? 0 : errno;",
            "CShims/CShims.c: int cshims_link_unnamed(int descriptor, const char *path)",
            "CShims/CShims.c: return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;",
            "CShims/include/CShims.h: int cshims_o_tmpfile(void);",
            "CShims/include/CShims.h: int cshims_fallocate(int descriptor, off_t offset, off_t count);",
            "CShims/include/CShims.h: int cshims_link_unnamed(int descriptor, const char *path);",
        ],
        "a pipe or the terminal": [
            "ingest-cli/Console.swift: let count = Glibc.write(number, bytes.baseAddress! + done, bytes.count - done)",
            "ingest-cli/Interrupts.swift: _ = write(end, &byte, 1)",
            "ingest-cli/Progress.swift: guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }",
            "ingestd/StateCommand.swift: FileHandle.standardError.write(Data(\"Error: \\(error)\\n\".utf8))",
        ],
        "a path for the reader of settings": [
            "ingestd/Configuration/DaemonConfiguration.swift: import SystemPackage"
        ],
        "transactions pass the seam": [
            "ClusterCore/Log/StateStore.swift: let pool = try DatabasePool(path: path, configuration: configuration)",
            "ClusterCore/Log/StateStore.swift: try pool.writeWithoutTransaction { db in",
            "ClusterCore/Log/StateStore.swift: try db.inTransaction(.immediate) {",
            "ClusterCore/Log/StateStore+Schema.swift: try db.inTransaction(.immediate) {",
        ],
        "settings of the connection, and the tables, which pass the seam": [
            "ClusterCore/Log/StateStore.swift: try pool.writeWithoutTransaction { db in"
        ],
        "SQLite moves what is durable already from one of its files to another": [
            "ClusterCore/Log/StateStore.swift: _ = try? pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }"
        ],
    ]

    /// The seam itself, which also brings back what a power cut takes; and what the client writes for its user.
    private static let exempt = [
        "PosixIO/DiskUndo.swift", "PosixIO/DiskFault.swift",
        "ingest-cli/Get/Directory+Writing.swift",
    ]

    @Test func changesOfTheDiskPassTheSeam() throws {
        let known = Array(Self.reasons.values.joined())
        var found: [String] = []
        // Targets that are pure import nothing that could change a disk.
        for target in try Sources.targets() where ImportTests.allowed[target] == nil {
            for (name, text) in try Sources.files(of: target, suffixes: [".swift", ".c", ".h"]) {
                let file = "\(target)/\(name)"
                if Self.exempt.contains(file) { continue }
                found += Self.changes(in: text).map { "\(file): \($0)" }
            }
        }
        // Some lines are there twice.
        let new = Self.surplus(of: found, over: known)
        #expect(
            new.isEmpty, "a new way to the disk: let it pass DiskSeam, then name it here: \(new)")
        let gone = Self.surplus(of: known, over: found)
        #expect(gone.isEmpty, "named here, and not there: \(gone)")
    }

    private static func surplus(of some: [String], over others: [String]) -> [String] {
        var left = some
        for other in others {
            if let index = left.firstIndex(of: other) { left.remove(at: index) }
        }
        return left.sorted()
    }

    @Test(arguments: [
        "Glibc.link(a, b)", "unlink(path)", "let n = write(number, p, 1)", "writev(n, v, 2)",
        "x = pwritev(a, b, c, d)",
        "_ = truncate(path, 0)", "symlink(a, b)", "symlinkat(a, n, b)",
        "guard chmod(path, 0o600) == 0 else {",
        "fchmod(n, 0)", "fallocate(n, 0, 0, 1)", "posix_fallocate(n, 0, 1)", "mkdirat(n, p, 0o755)",
        "unlinkat(n, p, 0)",
        "renameat(n, p, m, q)", "renameat2(n, p, m, q, 0)", "linkat(n, p, m, q, 0)",
        "utimensat(n, p, nil, 0)",
        "func clear() { rmdir(path) }", "try repeated { ftruncate(number, 0) }",
        "try Glibc.rename(a, b)",
        "paths.forEach { unlink($0) }", "let call = Glibc.unlink", "paths.map(unlink)",
        "remove = unlink",
        "let f = FileSystem.loadStatus(x) ?? mkdir(x, 0)", "case .a: sync()",
        "syscall(SYS_unlink, p)", "dlsym(h, \"unlink\")",
        "fopen(path, \"w\")", "mkstemp(&t)", "open(path, O_WRONLY | O_CREAT)", "flags | O_TRUNC",
        "ioctl(n, FICLONE, m)",
        "try data.write(to: place)", "try data.write(to: URL(fileURLWithPath: x))",
        "try text.write(toFile: x)",
        "try FileManager.default.removeItem(atPath: x)", "let files = FileManager()",
        "FileHandle(forWritingAtPath: x)",
        "NonBlockingFileIO(threadPool: p)", "NIOFileHandle(path: x)", "import _NIOFileSystem",
        "import NIOFileSystem",
        "import SystemPackage", "SystemPackage.FileDescriptor.open(x, .writeOnly)",
        "OutputStream(toFileAtPath: x)",
        "try DatabaseQueue(path: x)",
    ])
    func aChangeOfTheDiskIsFound(code: String) {
        #expect(Self.changes(in: "import Glibc\n    \(code)  // why\n") == [code + "  // why"])
    }

    @Test(arguments: [
        "try pool.write { db in", "try await pool.barrierWriteWithoutTransaction { _ in }",
        "try pool.writeWithoutTransaction { try $0.checkpoint(.full) }",
        "try db.checkpoint(.truncate)", "try pool.vacuum()",
        "try pool.vacuum(into: path)", "try pool.backup(to: other)", "try pool.erase()",
        "try pool.unsafeReentrantWrite {",
        "pool.asyncWrite({ db in", "try db.inTransaction {", "try db.inSavepoint {",
        "try db.beginTransaction()",
    ])
    func aWriteOfADatabaseIsFound(code: String) {
        #expect(Self.changes(in: "import GRDB\n\(code)\n") == [code])
        #expect(Self.changes(in: "import NIOCore\n\(code)\n").isEmpty)
    }

    @Test(arguments: [
        "// unlink(path)", "try FileSystem.rename(a, to: b)", "try file.truncate(to: 0)",
        "try write(section)",
        "try await write(section)", "case symlink(target: [UInt8])",
        "func write(_ bytes: [UInt8]) throws", "channel.write(part)",
        "state.rename(a, to: b)", "steps.append(.symlink(path))", "file.synchronize()",
        "O_RDONLY | O_DIRECTORY",
        "struct FileSystemSpace {", "\"unlink\"", "openPool(path)", "let pool: DatabasePool",
    ])
    func whatChangesNoDiskIsLeftAlone(code: String) {
        #expect(Self.changes(in: code).isEmpty)
    }

    // MARK: - The matcher

    private static let systemCalls = """
        pwrite|pwritev2?|writev?|f?sync|fdatasync|syncfs|sync_file_range|f?truncate|rename|renameat2?|unlink|unlinkat|link|linkat\
        |symlink|symlinkat|mkdir|mkdirat|rmdir|mkfifo|mkfifoat|mknod|mknodat|l?f?chmod|fchmodat|l?chown|fchown|fchownat|utimensat\
        |futimens|[fl]?utimes|futimesat|utime|fallocate|posix_fallocate|cshims_fallocate|cshims_link_unnamed|copy_file_range\
        |sendfile|splice|l?setxattr|fsetxattr|ioctl|aio_write|syscall|dlsym|creat|fopen|freopen|tmpfile|mko?stemps?|mkdtemp
        """

    /// Lines that may change the disk.
    private static func changes(in text: String) -> [String] {
        // Declarations; and calls that can throw, which no system call can.
        let others = /\b(?:(?:func|case) \w+|try (?:await )?[a-z]\w*\()/
        var ways = [
            // A call or a mention that is not of something else's method.
            "(?:^|[^.\\w])(?:\(systemCalls))\\(",
            "\\bGlibc\\.(?:\(systemCalls)|open|openat|remove)\\b",
            "[(=,]\\s*(?:unlink|linkat|unlinkat|rmdir|mkdir|fsync)\\s*(?:[,)]|//|$)",
            "\\bO_(?:CREAT|WRONLY|RDWR|TRUNC|APPEND|TMPFILE)\\b", "\\bcshims_o_tmpfile\\b",
            "\\bwrite\\(to\\w*:",
            "\\b(?:FileManager|FileHandle|OutputStream|NonBlockingFileIO|NIOFile\\w*|_NIOFile\\w*|SystemPackage)\\b",
            "\\bDatabase(?:Queue|Pool)\\(",
        ]
        if text.contains("import GRDB") {
            ways.append(
                "(?<!\\bSelf)\\.(?:\\w*[wW]rite|\\w*[wW]riteWithoutTransaction|vacuum|backup|erase|checkpoint|inTransaction|inSavepoint"
                    + "|beginTransaction)\\b")
        }
        let pattern = try! NSRegularExpression(pattern: ways.joined(separator: "|"))
        return text.split(separator: "\n").compactMap { line in
            let code = line.drop { $0 == " " }
            if code.hasPrefix("//") { return nil }
            let calls = code.replacing(others, with: "")
            let range = NSRange(calls.startIndex..., in: calls)
            return pattern.firstMatch(in: String(calls), range: range) == nil ? nil : String(code)
        }
    }
}
