import ArgumentParser
import CShims
import Glibc
import PosixIO

/// Where the program starts: it parses, runs one command, and turns what comes out of it into an
/// exit code and one line.
@main
enum Program {
    static func main() async {
        // Pieces of 1 MiB are reused instead of being mapped anew.
        cshims_tune_malloc(64 << 20, 128 << 20, 2)
        // A closed pipe is an error of the write that meets it.
        signal(SIGPIPE, SIG_IGN)
        // A deep tree has a directory open for each level.
        OpenFileLimit.raise()
        let task = Task { await run(CommandLine.arguments.dropFirst().map { $0 }) }
        Interrupts.watch {
            StandardInput.giveUp()
            task.cancel()
        }
        exit(await task.value)
    }

    private static func run(_ arguments: [String]) async -> Int32 {
        do {
            var command = try IngestCommand.parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            try Console.shared.flush()
            return ExitCode.done.rawValue
        } catch let outcome as CommandOutcome {
            return finish(outcome)
        } catch {
            guard isFromParser(error) else { return finish(CommandOutcome(error)) }
            let message = IngestCommand.fullMessage(for: error)
            guard IngestCommand.exitCode(for: error) != .success else {
                return finish { try Console.shared.printLine(message) }
            }
            Console.shared.printError(message)
            return ExitCode.local.rawValue
        }
    }

    private static func finish(_ outcome: CommandOutcome) -> Int32 {
        // What was printed before the failure is still wanted; a pipe that is closed ends us either way.
        try? Console.shared.flush()
        if let message = outcome.message { Console.shared.printError("ingest-cli: \(message)") }
        return outcome.code.rawValue
    }

    private static func finish(_ body: () throws -> Void) -> Int32 {
        do {
            try body()
            try Console.shared.flush()
            return ExitCode.done.rawValue
        } catch {
            return finish(CommandOutcome(error))
        }
    }

    /// Whether the argument parser made this error: a wrong command line, or a plea for help.
    private static func isFromParser(_ error: any Error) -> Bool {
        error is CleanExit || error is ValidationError
            || String(reflecting: type(of: error)).hasPrefix("ArgumentParser.")
    }
}
