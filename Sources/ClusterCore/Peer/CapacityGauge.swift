import PosixIO

/// How many bytes a peer can lend: the configured limit, or what its own files and the free space
/// of the file system allow, whichever is smaller.
package struct CapacityGauge: Sendable {
    /// Time between two measurements.
    static let interval = Duration.seconds(10)
    /// Free bytes kept for what no reservation counts: the state, its log, root records, catalogue.
    static let ownByteCount = 32 << 20

    private let dataDirectory: String
    private let limitByteCount: Int?
    private let headroomByteCount: Int

    /// - Parameters:
    ///   - limitByteCount: What the operator allows; `nil` for all there is.
    ///   - headroomByteCount: Free bytes of the file system that are never lent; what the peer needs
    ///     for itself is the least.
    package init(dataDirectory: String, limitByteCount: Int?, headroomByteCount: Int) {
        self.dataDirectory = dataDirectory
        self.limitByteCount = limitByteCount
        self.headroomByteCount = headroomByteCount
    }

    /// - Parameters:
    ///   - usedByteCount: Bytes of the sealed shards here, by the state.
    ///   - reservedByteCount: Bytes promised here, by the state. What is in staging beyond them is on
    ///     its way to other peers.
    func capacityByteCount(usedByteCount: Int, reservedByteCount: Int) throws -> Int {
        let free = try FileSystem.loadSpace(dataDirectory).freeByteCount
        let staged = min(try stagedByteCount(), reservedByteCount)
        let kept = max(headroomByteCount, Self.ownByteCount)
        let physical = max(0, usedByteCount + staged + free - kept)
        return min(limitByteCount ?? physical, physical)
    }

    /// Refuses what would leave less free space than the peer needs for itself.
    func checkSpool(for byteCount: Int, reservedByteCount: Int) throws {
        let free = try FileSystem.loadSpace(dataDirectory).freeByteCount
        // What is promised here and not written yet needs its space too.
        let promised = max(0, reservedByteCount - (try stagedByteCount()))
        let left = free - Self.ownByteCount - promised
        guard left >= byteCount else {
            throw SpoolFull(neededByteCount: byteCount, freeByteCount: left)
        }
    }

    /// Disk space that shards being written have taken so far.
    private func stagedByteCount() throws -> Int {
        let staging = dataDirectory + "/staging"
        var sum = 0
        for upload in try Directory(staging).loadNames() {
            // An upload that ends meanwhile takes its directory with it.
            let path = staging + "/" + String(decoding: upload, as: UTF8.self)
            guard let folder = try? Directory(path) else { continue }
            for name in try folder.loadNames() {
                sum += try folder.loadStatus(name)?.allocatedByteCount ?? 0
            }
        }
        return sum
    }

    /// Whether a change is worth a command: more than 1 % or 64 MiB, or room that has vanished.
    static func isNoticeable(from known: Int, to measured: Int) -> Bool {
        let change = abs(measured - known)
        return change > min(64 << 20, max(known / 100, 1 << 20))
    }
}

/// There is no disk space here to pass a shard on to other peers.
package struct SpoolFull: Error, CustomStringConvertible {
    let neededByteCount: Int
    let freeByteCount: Int

    package var description: String {
        "a shard of \(neededByteCount) bytes cannot wait here until other peers have it: "
            + "\(max(0, freeByteCount)) bytes are free on this peer's disk; upload through another peer"
    }
}
