import Glibc
import PosixIO
import Synchronization

/// Turns SIGINT, SIGTERM and SIGHUP into a cancellation, so that a command can clean up; the second one ends
/// the process at once.
enum Interrupts {
    /// Where the handler, which may do next to nothing, tells the thread.
    private static let writeEnd = Atomic<Int32>(-1)

    /// - Parameter onFirst: Called once, on a thread of its own.
    static func watch(_ onFirst: @escaping @Sendable () -> Void) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return }
        writeEnd.store(ends[1], ordering: .sequentiallyConsistent)
        let readEnd = ends[0]
        // Without that thread the signals end the process as they do anywhere.
        guard
            (try? PosixThread(name: "signals") {
                waitForByte(readEnd)
                onFirst()
                waitForByte(readEnd)
                _exit(ExitCode.interrupted.rawValue)
            }) != nil
        else { return }
        for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
            signal(number) { _ in
                let end = Interrupts.writeEnd.load(ordering: .sequentiallyConsistent)
                var byte: UInt8 = 0
                _ = write(end, &byte, 1)
            }
        }
    }

    /// Whether whoever started us does not want us to be interrupted, as a shell for its background.
    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    private static func waitForByte(_ end: Int32) {
        var byte: UInt8 = 0
        while read(end, &byte, 1) < 0 && errno == EINTR {}
    }
}
