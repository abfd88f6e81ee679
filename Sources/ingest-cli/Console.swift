import Glibc
import PosixIO
import Synchronization

/// Standard output does not take any more.
struct OutputClosed: Error {
    let cause: IOError

    /// Whoever read it has gone, and knows.
    var isByReader: Bool { cause.code == EPIPE }
}

/// Standard output for data, standard error for everything else.
///
/// A lock, because lines of an add are printed by the task that makes its body while another one
/// draws the progress bar.
final class Console: Sendable {
    static let shared = Console()

    /// Bytes collected before a write, where no one is looking.
    private static let bufferByteCount = 64 << 10

    private struct State {
        var pending: [UInt8] = []
        /// A progress bar stands on the current line of the terminal.
        var showsBar = false
    }

    private let state = Mutex(State())
    private let writesThrough = isatty(STDOUT_FILENO) == 1
    let errorIsTerminal = isatty(STDERR_FILENO) == 1

    /// Prints data, and a line feed behind it.
    func printLine(_ text: String) throws(OutputClosed) { try printLine(Array(text.utf8)) }

    func printLine(_ bytes: [UInt8]) throws(OutputClosed) {
        try print(bytes + [UInt8(ascii: "\n")])
    }

    /// Prints data as it is.
    func print(_ bytes: [UInt8]) throws(OutputClosed) {
        let failure = state.withLock { state -> IOError? in
            state.pending.append(contentsOf: bytes)
            guard writesThrough || state.pending.count >= Self.bufferByteCount else { return nil }
            return Self.write(&state)
        }
        if let failure { throw OutputClosed(cause: failure) }
    }

    func flush() throws(OutputClosed) {
        if let failure = state.withLock({ Self.write(&$0) }) { throw OutputClosed(cause: failure) }
    }

    /// Prints a line for people.
    func printError(_ text: String) {
        state.withLock { state in
            Self.clearBar(&state)
            Self.writeError(text.last == "\n" ? text : text + "\n")
        }
    }

    /// Draws a progress bar over the last one.
    func showBar(_ text: String) {
        state.withLock { state in
            state.showsBar = true
            Self.writeError("\r\u{1b}[K" + text)
        }
    }

    func removeBar() { state.withLock { Self.clearBar(&$0) } }

    private static func clearBar(_ state: inout State) {
        if state.showsBar { writeError("\r\u{1b}[K") }
        state.showsBar = false
    }

    private static func write(_ state: inout State) -> IOError? {
        if state.pending.isEmpty { return nil }
        clearBar(&state)
        defer { state.pending.removeAll(keepingCapacity: true) }
        return writeAll(state.pending, to: STDOUT_FILENO)
    }

    private static func writeError(_ text: String) {
        // There is nowhere left to say that this failed.
        _ = writeAll(Array(text.utf8), to: STDERR_FILENO)
    }

    /// - Returns: Why not all was written.
    private static func writeAll(_ bytes: [UInt8], to number: Int32) -> IOError? {
        bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(number, bytes.baseAddress! + done, bytes.count - done)
                if count > 0 {
                    done += count
                } else if errno != EINTR {
                    return .current(
                        "write", number == STDOUT_FILENO ? "standard output" : "standard error")
                }
            }
            return nil
        }
    }
}
