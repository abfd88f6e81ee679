import Glibc
import PosixIO

/// Turns SIGINT and SIGTERM into a cancellation, so that a command can clean up; the second one ends
/// the process at once.
struct Interrupts {
    private static func signals() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        return set
    }

    /// Blocks the signals for this thread and all it starts, so that only `start`'s thread sees them.
    init() {
        var set = Self.signals()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    func start(_ onFirst: @escaping @Sendable () -> Void) {
        // Without that thread the signals stay blocked; the system has other worries then.
        _ = try? PosixThread(name: "signals") {
            var set = Self.signals()
            var number: Int32 = 0
            guard sigwait(&set, &number) == 0 else { return }
            onFirst()
            guard sigwait(&set, &number) == 0 else { return }
            _exit(ExitCode.interrupted.rawValue)
        }
    }
}
