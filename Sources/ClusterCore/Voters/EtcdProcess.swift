import Foundation
import Glibc
import Multiformats
import Pinset
import PosixIO

/// How this peer's own etcd is run.
package struct EtcdSettings: Sendable {
    /// The data directory of the peer.
    package var dataDirectory: String
    /// Its ID names the member.
    package var peer: PeerID
    /// Keeps members of different clusters apart.
    package var token: String
    /// HOST:PORT to listen on for daemons, and for other members.
    package var clientAddress: String
    package var memberAddress: String
    /// URLs at which others reach these.
    package var clientURL: String
    package var memberURL: String
    package var quotaByteCount: Int
    /// In PEM.
    package var authority: String
    package var certificate: String
    package var key: String

    package init(
        dataDirectory: String, peer: PeerID, token: String, clientAddress: String,
        memberAddress: String, advertisedHost: String, quotaByteCount: Int,
        credentials: PeerCredentials
    ) {
        func url(_ address: String) -> String {
            "https://\(advertisedHost):\(address[address.index(after: address.lastIndex(of: ":")!)...])"
        }
        self.dataDirectory = dataDirectory
        self.peer = peer
        self.token = token
        self.clientAddress = clientAddress
        self.memberAddress = memberAddress
        clientURL = url(clientAddress)
        memberURL = url(memberAddress)
        self.quotaByteCount = quotaByteCount
        authority = credentials.authorityPEM
        certificate = credentials.certificatePEM
        key = credentials.keyPEM
    }

    var name: String { peer.description }
    var directory: String { dataDirectory + "/etcd" }
    private var memberDirectory: String { directory + "/data" }

    /// Whether a member has begun here. etcd puts its log in place whole, by renaming it.
    var hasData: Bool {
        get throws { try FileSystem.loadStatus(memberDirectory + "/member/wal") != nil }
    }

    /// Processes that ran a member in this very directory since the machine was started. They have ended:
    /// the lock on the data directory keeps others out of it, and its copies are other directories. None
    /// where that cannot be told; the member then waits for their leases to end.
    var formerLives: [ProcessNonce] {
        guard let place, let note = try? FileSystem.loadFile(placePath) else { return [] }
        let lines = String(decoding: note, as: UTF8.self).split(separator: "\n").map(String.init)
        guard lines.first == place else { return [] }
        return lines.dropFirst().compactMap(ProcessNonce.init(text:))
    }

    /// As many as may be killed one right after the other.
    private static let formerLimit = 16

    /// Notes whose process runs a member here.
    private func savePlace(of process: ProcessNonce) throws {
        guard let place else { return }
        let lives = formerLives.filter { $0 != process }.suffix(Self.formerLimit) + [process]
        let text = ([place] + lives.map(\.text)).joined(separator: "\n")
        try FileSystem.saveFile(placePath, Array(text.utf8), permissions: 0o600)
    }

    private var placePath: String { directory + "/place" }

    /// Tells the directory from its copies, for as long as the kernel runs; `nil` where it does not say.
    private var place: String? {
        guard let status = try? FileSystem.loadStatus(directory),
            let boot = try? String(
                contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        else { return nil }
        return "\(boot.trimmingCharacters(in: .newlines)) \(status.device) \(status.inode)"
    }

    /// Removes what a member had that is one no longer.
    func removeData() throws {
        try FileSystem.removeTree(memberDirectory)
    }

    /// Puts what a member has, if it has anything, where no member finds it.
    func setDataAside() throws {
        guard try FileSystem.loadStatus(memberDirectory) != nil else { return }
        let time = LogTime.wallClock().millisecondsSinceEpoch
        try FileSystem.rename(memberDirectory, to: directory + "/data.former-\(time)")
    }

    /// Removes all there is of a member, if there is any.
    package func forget() throws {
        try FileSystem.removeTree(directory)
    }

    /// How a member comes to be.
    enum Beginning {
        /// The only member of a new etcd.
        case new
        /// One that the others have added. `members` are their names and URLs, with its own.
        case joining(members: [(name: String, url: String)])
        /// It has data.
        case again
        /// It has data, and the other members are gone for good.
        case alone
    }

    /// Starts the member.
    func start(_ beginning: Beginning, by process: ProcessNonce) async throws -> ChildProcess {
        guard let program = Self.program else { throw EtcdProcessError.notInstalled }
        try FileSystem.makeDirectory(directory, permissions: 0o700)
        let files = [("ca.pem", authority), ("cert.pem", certificate), ("key.pem", key)]
        for (name, text) in files {
            try FileSystem.saveFile(
                directory + "/" + name, Array(text.utf8), permissions: 0o600)
        }
        try savePlace(of: process)
        let former = logPath + ".former"
        try FileSystem.removeFile(former)
        if try FileSystem.loadStatus(logPath) != nil {
            try FileSystem.rename(logPath, to: former)
        }
        let output = try FileDescriptor(logPath, for: .append, permissions: 0o600)
        return try await ChildProcess(program, arguments(beginning), output: output)
    }

    private var logPath: String { directory + "/log" }

    private func arguments(_ beginning: Beginning) -> [String] {
        var arguments = [
            "--name", name, "--data-dir", memberDirectory,
            "--listen-client-urls", "https://" + clientAddress,
            "--advertise-client-urls", clientURL,
            "--listen-peer-urls", "https://" + memberAddress,
            "--initial-advertise-peer-urls", memberURL,
            "--initial-cluster-token", token,
            "--quota-backend-bytes", String(quotaByteCount),
            // Revisions; what was trimmed from the log is gone with them.
            "--auto-compaction-mode", "revision", "--auto-compaction-retention", "10000",
            "--snapshot-count", "10000", "--client-cert-auth", "--peer-client-cert-auth",
            "--logger", "zap", "--log-level", "warn", "--log-outputs", "stderr",
        ]
        for prefix in ["--", "--peer-"] {
            arguments += [
                prefix + "trusted-ca-file", directory + "/ca.pem",
                prefix + "cert-file", directory + "/cert.pem",
                prefix + "key-file", directory + "/key.pem",
            ]
        }
        switch beginning {
        case .again: break
        case .alone: arguments.append("--force-new-cluster")
        case .new:
            arguments += [
                "--initial-cluster", "\(name)=\(memberURL)", "--initial-cluster-state", "new",
            ]
        case .joining(let members):
            let text = members.map { "\($0.name)=\($0.url)" }.joined(separator: ",")
            arguments += ["--initial-cluster", text, "--initial-cluster-state", "existing"]
        }
        return arguments
    }

    /// Why the member ended, or else the last lines of its own log, for messages.
    var lastWords: String {
        guard let bytes = try? FileSystem.loadFile(logPath, byteLimit: 64 << 20) else { return "" }
        let lines = bytes.split(separator: UInt8(ascii: "\n"))
        // What follows a panic is where in etcd it happened.
        let panic = lines.last { $0.starts(with: Array("panic: ".utf8)) }
        return (panic.map { [$0] } ?? lines.suffix(3))
            .map { String(decoding: $0.prefix(500), as: UTF8.self) }
            .joined(separator: " | ")
    }

    private static var program: String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        return path.split(separator: ":").map { $0 + "/etcd" }
            .first { access($0, X_OK) == 0 }
    }
}

package enum EtcdProcessError: Error, CustomStringConvertible {
    case notInstalled
    case didNotStart(String, startedEmpty: Bool)
    case noData(String)

    package var description: String {
        switch self {
        case .notInstalled:
            """
            a cluster needs etcd, and there is none on this machine; install it with: \
            apt-get install etcd-server (and keep its own service stopped: systemctl disable --now etcd), \
            or name an etcd that runs already with cluster.etcd
            """
        case .noData(let directory):
            """
            there is no etcd in \(directory) to go on from: this peer had no vote. Recover on one that had; \
            where none is left, go on from what this peer has applied with --from-state
            """
        case .didNotStart(let words, let startedEmpty):
            "etcd did not start: \(words)"
                + (startedEmpty
                    ? ""
                    : """
                    . Mend what it says; where its data cannot be used, recover on another peer that had a \
                    vote, or where none is left, go on from what this peer has applied with --from-state
                    """)
        }
    }
}
