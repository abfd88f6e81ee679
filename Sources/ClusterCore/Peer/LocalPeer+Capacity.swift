import Logging
import Multiformats
import Pinset
import PosixIO
import ShardPlanner

/// What this peer can lend, by its disk and by what the state says of it.
extension LocalPeer {
    /// Whether a shard for other peers can wait here until it has reached them.
    package func checkSpool(for byteCount: Int) async throws {
        let room = try await room()
        try await workers.run { [capacity] in
            try capacity.checkSpool(for: byteCount, beside: room)
        }
    }

    func measuredCapacity() async throws -> Int {
        let room = try await room()
        return try await workers.run { [capacity] in try capacity.capacityByteCount(beside: room) }
    }

    /// What the state says of this peer's disk, and how much of its promises is written already.
    private func room() async throws -> CapacityGauge.Room {
        let files = try await workers.run { [capacity] in try capacity.stagedFiles() }
        return try await driver.read { [id] state in
            // Others are on their way to other peers.
            let own = files.filter { file in
                state.reservation(file.upload, number: file.number)?.peers.contains(id) == true
            }
            return CapacityGauge.Room(
                usedByteCount: state.peer(id)?.usedByteCount ?? 0,
                reservedByteCount: state.peer(id)?.reservedByteCount ?? 0,
                writtenByteCount: own.reduce(0) { $0 + $1.byteCount })
        }
    }

    /// Tells the state when the space this peer can lend has changed noticeably.
    func reportCapacity() async throws {
        while true {
            try await Task.sleep(for: CapacityGauge.interval)
            let measured: Int
            do {
                measured = try await measuredCapacity()
            } catch let error as IOError {
                log.warning("the disk's room cannot be told now", metadata: ["error": "\(error)"])
                continue
            }
            let known = try await driver.read { [id] in $0.peer(id)?.capacityByteCount ?? 0 }
            if CapacityGauge.isNoticeable(from: known, to: measured) {
                try await driver.appendPersistently(
                    .setCapacity(id, byteCount: measured), logger: log)
            }
        }
    }
}
