import CShims
import Glibc
import Synchronization

/// A program that runs beside this process and never outlives it.
package final class ChildProcess: Sendable {
    /// How a program ended.
    package enum End: Equatable, Sendable, CustomStringConvertible {
        case exited(Int32)
        case killed(signal: Int32)

        package var description: String {
            switch self {
            case .exited(127): "it could not be executed"
            case .exited(let status): "it ended with status \(status)"
            case .killed(let signal): "it was ended by signal \(signal)"
            }
        }
    }

    private enum State {
        case running(pid_t)
        case ended(End)
    }

    private let state: Mutex<State>
    private let ended = Completion<End>()

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - arguments: Without the program's own name.
    ///   - output: Takes what it writes.
    package init(_ path: String, _ arguments: [String], output: FileDescriptor) async throws {
        let started = Completion<pid_t>()
        let ended = ended
        // The system ends the program with the thread that started it: this one waits for its end.
        let thread = try PosixThread(name: "child") {
            let words = ([path] + arguments).map { strdup($0) }
            defer { for word in words { free(word) } }
            let number = cshims_spawn(path, words + [nil], output.number)
            guard number > 0 else {
                started.finish(.failure(IOError("start", path, .system(-number))))
                return
            }
            started.finish(.success(number))
            var status: Int32 = 0
            while waitpid(number, &status, 0) < 0, errno == EINTR {}
            let signal = status & 0x7F
            ended.finish(
                .success(signal == 0 ? .exited(status >> 8 & 0xFF) : .killed(signal: signal)))
        }
        withExtendedLifetime(thread) {}
        state = Mutex(.running(try await started.value()))
    }

    /// Waits until it has ended; one task at a time.
    package func end() async throws -> End {
        let end = try await ended.value()
        state.withLock { $0 = .ended(end) }
        return end
    }

    package var hasEnded: Bool { ended.isDone }

    package func send(signal: Int32) {
        // A number is not sent to after its end was seen: it may be another program's by then. The
        // waiting thread may have seen it a moment ago; the system keeps numbers for longer than that.
        state.withLock { state in
            if case .running(let number) = state, !ended.isDone { kill(number, signal) }
        }
    }
}
