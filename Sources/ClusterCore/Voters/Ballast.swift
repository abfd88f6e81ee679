import Logging
import PosixIO

/// A file that only takes space, and gives it to etcd when the disk is full: a member that cannot write
/// ends, and with it may end the agreement that removing something would need.
struct Ballast: Sendable {
    private static let byteCount = 64 << 20
    /// With less than this free it is given away; with more than that it is taken again.
    private static let scarceByteCount = 32 << 20
    private static let ampleByteCount = 512 << 20
    private static let interval = Duration.seconds(5)

    let path: String
    let log: Logger

    /// Looks after it until the task is cancelled.
    func keep() async throws {
        while true {
            do {
                let free = try FileSystem.loadSpace(FileSystem.directory(of: path)).freeByteCount
                let isThere = try FileSystem.loadStatus(path) != nil
                if isThere, free < Self.scarceByteCount {
                    try FileSystem.removeFile(path)
                    log.error(
                        "the disk is full: etcd's reserve was given away; free some space",
                        metadata: ["free": "\(free)"])
                } else if !isThere, free > Self.ampleByteCount {
                    try FileDescriptor(path, for: .create, permissions: 0o600)
                        .preallocate(0..<Self.byteCount)
                }
            } catch {
                log.warning("no reserve for etcd", metadata: ["error": "\(error)"])
            }
            try await Task.sleep(for: Self.interval)
        }
    }
}
