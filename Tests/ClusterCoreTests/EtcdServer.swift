import EtcdClient
import Foundation
import Synchronization

/// A real etcd of one member, in a directory of its own.
final class EtcdServer: Sendable {
    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    /// One for all tests that only use keys of their own.
    static let shared = Result { try EtcdServer() }

    let client: EtcdClient
    private let directory = NSTemporaryDirectory() + "etcd-" + UUID().uuidString
    private let ports: (client: Int, peer: Int)
    private let process = Mutex<pid_t?>(nil)
    private static let running = Mutex<Set<pid_t>>([])

    init() throws {
        ports = (try Self.freePort(), try Self.freePort())
        client = EtcdClient(endpoints: ["http://127.0.0.1:\(ports.client)"])
        _ = Self.killAtExit
        try start()
    }

    deinit {
        stop()
        // Left-overs in the temporary directory fail no test.
        try? FileManager.default.removeItem(atPath: directory)
        try? FileManager.default.removeItem(atPath: directory + ".log")
    }

    /// Starts it, again on the same data. It takes a moment until it answers; clients wait for that.
    func start() throws {
        let (own, peer) = ("http://127.0.0.1:\(ports.client)", "http://127.0.0.1:\(ports.peer)")
        let arguments = [
            "etcd", "--name", "test", "--data-dir", directory,
            "--listen-client-urls", own, "--advertise-client-urls", own,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", "test=\(peer)", "--heartbeat-interval", "20",
            "--election-timeout", "200", "--logger", "zap", "--log-outputs", directory + ".log",
        ]
        var pointers = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, "etcd", nil, nil, &pointers, environ)
        guard code == 0 else {
            throw Missing(
                description: "etcd does not start (errno \(code)): apt-get install etcd-server")
        }
        Self.running.withLock { _ = $0.insert(process) }
        self.process.withLock { $0 = process }
    }

    /// Ends it as a power failure would, but for the disk.
    func stop() {
        guard let process = process.withLock({ $0.take() }) else { return }
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        Self.running.withLock { _ = $0.remove(process) }
    }

    /// Processes do not end with the one that started them.
    private static let killAtExit: Void = {
        atexit { for process in EtcdServer.running.withLock({ $0 }) { kill(process, SIGKILL) } }
    }()

    /// A port nobody has at this moment.
    private static func freePort() throws -> Int {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard status else { throw Missing(description: "no free port: errno \(errno)") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
