import PosixIO
import ShardPlanner

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

    /// What the state says of a peer's disk.
    struct Room {
        /// Bytes of the sealed shards.
        var usedByteCount: Int
        /// Bytes promised to shards that are not sealed.
        var reservedByteCount: Int
        /// How much of what is promised is on disk already.
        var writtenByteCount: Int
    }

    /// - Parameter spoolByteCount: What shards that wait here for other peers may still take.
    func capacityByteCount(beside room: Room, spooling spoolByteCount: Int) throws -> Int {
        let free = try FileSystem.loadSpace(dataDirectory).freeByteCount
        let kept = max(headroomByteCount, Self.ownByteCount) + spoolByteCount
        let physical = max(0, room.usedByteCount + room.writtenByteCount + free - kept)
        return min(limitByteCount ?? physical, physical)
    }

    /// Refuses what would leave less free space than is promised and the peer needs for itself.
    ///
    /// - Parameter byteCount: What shards that wait here for other peers may still take.
    func checkSpool(of byteCount: Int, beside room: Room) throws {
        let free = try FileSystem.loadSpace(dataDirectory).freeByteCount
        let promised = max(0, room.reservedByteCount - room.writtenByteCount)
        let left = free - Self.ownByteCount - promised
        guard left >= byteCount else {
            throw SpoolFull(neededByteCount: byteCount, freeByteCount: left)
        }
    }

    /// Disk space of the shards in staging.
    func stagedFiles() throws -> [Spool.Name: Int] {
        let staging = dataDirectory + "/staging"
        var files: [Spool.Name: Int] = [:]
        for upload in try Directory(staging).loadNames().map({ String(decoding: $0, as: UTF8.self) }
        ) {
            // An upload that ends meanwhile takes its directory with it.
            guard let id = UploadID(upload), let folder = try? Directory(staging + "/" + upload)
            else {
                continue
            }
            for name in try folder.loadNames() {
                guard let number = Int(String(decoding: name, as: UTF8.self)),
                    let status = try folder.loadStatus(name)
                else { continue }
                files[Spool.Name(upload: id, number: number)] = status.allocatedByteCount
            }
        }
        return files
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
        "shards that wait here until other peers have them may still take \(neededByteCount) bytes, "
            + "but \(max(0, freeByteCount)) are free on this peer's disk; upload through another peer"
    }
}
