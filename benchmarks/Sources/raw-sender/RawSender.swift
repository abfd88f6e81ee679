import Glibc
import PosixIO
import Synchronization

/// Uploads files with as little work as a sender can do, so that what is measured is the service.
///
///     raw-sender [--query QUERY] [--count COUNT] [--resumable] HOST:PORT FILE...
///
/// Each file is an upload of its own, one part of multipart/form-data over a connection of its own
/// with a known length; its bytes go from the page cache to the socket by `sendfile`. COUNT uploads
/// run at once, each with every COUNT-th file; resumable ones are `POST /uploads` in one request, others
/// `POST /add`. Prints a line per upload: seconds from connecting
/// to the end of the answer, the file and the answer's last line, with tabs between. Exits with 1
/// if one of them failed.
@main
enum RawSender {
    private struct Command {
        var query = "profile=unixfs-v1-2025"
        var count = 1
        var isResumable = false
        var address = ServiceAddress(host: "", port: 0)
        var files: [String] = []

        init?(_ arguments: [String]) {
            var positional: [String] = []
            var rest = arguments.dropFirst()
            while let argument = rest.popFirst() {
                switch argument {
                case "--query":
                    guard let value = rest.popFirst() else { return nil }
                    query = value
                case "--count":
                    guard let value = rest.popFirst(), let number = Int(value), number > 0 else {
                        return nil
                    }
                    count = number
                case "--resumable":
                    isResumable = true
                default:
                    if argument.hasPrefix("--") { return nil }
                    positional.append(argument)
                }
            }
            guard positional.count > 1, let address = ServiceAddress(positional[0]) else {
                return nil
            }
            self.address = address
            files = Array(positional.dropFirst())
        }
    }

    static func main() throws {
        guard let command = Command(CommandLine.arguments) else {
            report(
                "usage: raw-sender [--query QUERY] [--count COUNT] [--resumable] HOST:PORT FILE...")
            exit(2)
        }
        // A service that refuses closes the connection; its answer is still to be read.
        signal(SIGPIPE, SIG_IGN)
        let threads = try (0..<command.count).map { lane in
            try PosixThread(name: "sender-\(lane)") {
                for index in stride(from: lane, to: command.files.count, by: command.count) {
                    send(command.files[index], command)
                }
            }
        }
        for thread in threads { thread.join() }
        exit(failureCount.withLock { $0 } == 0 ? 0 : 1)
    }

    private static let failureCount = Mutex(0)

    private static func send(_ file: String, _ command: Command) {
        do {
            let upload = try Upload(
                of: file, to: command.address, query: command.query,
                isResumable: command.isResumable)
            let start = now()
            let answer = try upload.run()
            let seconds = now() - start
            let milliseconds = Int((seconds * 1000).rounded())
            let digits = String(milliseconds % 1000 + 1000).dropFirst()
            print("\(milliseconds / 1000).\(digits)\t\(file)\t\(answer.lastLine)")
            if !answer.isSuccess {
                report("\(file): status \(answer.status): \(answer.lastLine)")
                failureCount.withLock { $0 += 1 }
            }
        } catch {
            report("\(file): \(error)")
            failureCount.withLock { $0 += 1 }
        }
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private static func report(_ message: String) {
        let line = Array("raw-sender: \(message)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
