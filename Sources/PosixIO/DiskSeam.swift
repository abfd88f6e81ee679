#if DEBUG
    import Glibc
#endif

/// Where everything passes that changes a disk, but for SQLite's own files, whose transactions do.
///
/// In a debug build, the environment can make one of these changes fail or the process end at it
/// (`DiskFault`), to see that nothing is lost then. In other builds this is nothing.
@usableFromInline
package enum DiskSeam {
    package enum Change: String, Sendable {
        case create, write, truncate, preallocate, synchronize, link, rename, remove
        case makeDirectory = "make-directory"
        case removeDirectory = "remove-directory"
        /// A transaction of SQLite.
        case begin, commit
    }

    /// Performs a change.
    ///
    /// - Parameters:
    ///   - path: What is changed; for a rename, the new name.
    ///   - former: The old name of a rename.
    ///   - number: The file, for changes of a file that is open.
    ///   - range: The bytes of the file that get other values, or are cut off.
    ///   - file: With `line`, the call outside of this module that leads here.
    @inline(__always)
    package static func perform<Result>(
        _ change: Change, _ path: @autoclosure () -> String,
        former: @autoclosure () -> String? = nil, number: Int32 = -1, range: Range<Int> = 0..<0,
        file: DebugText, line: DebugNumber, _ body: () throws(IOError) -> Result
    ) throws(IOError) -> Result {
        #if DEBUG
            guard let fault = DiskFault.shared else { return try body() }
            return try fault.perform(
                DiskFault.Event(
                    change: change, path: path(), former: former(), number: number, range: range,
                    site: "\(file.text):\(line.number)"),
                body)
        #else
            return try body()
        #endif
    }

    /// Passes one of SQLite's transactions, before and after it is durable.
    package static func transact<Result>(
        _ path: String, file: DebugText = #fileID, line: DebugNumber = #line,
        _ body: () throws -> Result
    ) throws -> Result {
        try perform(.begin, path, file: file, line: line) {}
        let result = try body()
        try perform(.commit, path, file: file, line: line) {}
        return result
    }

    /// A limit that a debug build's environment can lower, so that a small check comes to what is beyond it.
    @inlinable @inline(__always)
    package static func limit(_ usual: Int, _ name: DebugText) -> Int {
        #if DEBUG
            getenv("INGESTD_LIMIT_\(name.text)").flatMap { Int(String(cString: $0)) } ?? usual
        #else
            usual
        #endif
    }

    /// How many bytes of a write are written at once.
    @inline(__always)
    static func granted(_ byteCount: Int, _ path: @autoclosure () -> String) -> Int {
        #if DEBUG
            DiskFault.shared?.granted(byteCount, path()) ?? byteCount
        #else
            byteCount
        #endif
    }
}

/// A literal of a call that leads to a change of the disk, or lowers a limit. Debug builds alone keep it.
@usableFromInline
package struct DebugText: ExpressibleByStringLiteral, Sendable {
    #if DEBUG
        @usableFromInline let text: StaticString
    #endif

    @inlinable @inline(__always)
    package init(stringLiteral text: StaticString) {
        #if DEBUG
            self.text = text
        #endif
    }
}

/// As `DebugText`, a number.
@usableFromInline
package struct DebugNumber: ExpressibleByIntegerLiteral, Sendable {
    #if DEBUG
        @usableFromInline let number: Int
    #endif

    @inlinable @inline(__always)
    package init(integerLiteral number: Int) {
        #if DEBUG
            self.number = number
        #endif
    }
}
