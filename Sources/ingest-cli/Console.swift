import Glibc
import Synchronization

/// Nobody reads standard output any more.
struct OutputClosed: Error {}

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
        let isWritten = state.withLock { state in
            state.pending.append(contentsOf: bytes)
            guard writesThrough || state.pending.count >= Self.bufferByteCount else { return true }
            return Self.write(&state)
        }
        guard isWritten else { throw OutputClosed() }
    }

    func flush() throws(OutputClosed) {
        guard state.withLock({ Self.write(&$0) }) else { throw OutputClosed() }
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

    private static func write(_ state: inout State) -> Bool {
        if state.pending.isEmpty { return true }
        clearBar(&state)
        defer { state.pending.removeAll(keepingCapacity: true) }
        return writeAll(state.pending, to: STDOUT_FILENO)
    }

    private static func writeError(_ text: String) {
        // There is nowhere left to say that this failed.
        _ = writeAll(Array(text.utf8), to: STDERR_FILENO)
    }

    private static func writeAll(_ bytes: [UInt8], to number: Int32) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(number, bytes.baseAddress! + done, bytes.count - done)
                if count > 0 {
                    done += count
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }
}
