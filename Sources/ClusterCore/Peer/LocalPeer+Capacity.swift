import Logging
import Multiformats
import Pinset
import PosixIO
import ShardPlanner

/// What this peer can lend, by its disk and by what the state says of it.
extension LocalPeer {
    /// Takes disk space for a shard that waits here until other peers have it.
    ///
    /// - Throws: `SpoolFull`.
    package func spoolSpace(
        for upload: UploadID, number: Int, byteCount: Int
    ) async throws -> SpoolSpace {
        let space = SpoolSpace(Spool.Name(upload: upload, number: number), of: spool)
        try await raise(space, to: byteCount)
        return space
    }

    /// Takes more of it.
    ///
    /// - Throws: `SpoolFull`; the shard has what it had.
    package func raise(_ space: SpoolSpace, to byteCount: Int) async throws {
        let (room, written) = try await measuredRoom()
        try await workers.run { [spool, capacity] in
            try spool.raise(space.name, to: byteCount, beside: written) { waitingByteCount in
                try capacity.checkSpool(of: waitingByteCount, beside: room)
            }
        }
    }

    func measuredCapacity() async throws -> Int {
        let (room, written) = try await measuredRoom()
        return try await workers.run { [spool, capacity] in
            try capacity.capacityByteCount(
                beside: room, spooling: spool.waitingByteCount(beside: written))
        }
    }

    /// What the state says of this peer's disk, and how much of its promises is written already.
    ///
    /// - Returns: Also the disk space of all files in staging.
    private func measuredRoom() async throws -> (CapacityGauge.Room, [Spool.Name: Int]) {
        let written = try await workers.run { [capacity] in try capacity.stagedFiles() }
        let room = try await driver.read { [id] state in
            // Others are on their way to other peers.
            let own = written.filter { file, _ in
                state.reservation(file.upload, number: file.number)?.peers.contains(id) == true
            }
            return CapacityGauge.Room(
                usedByteCount: state.peer(id)?.usedByteCount ?? 0,
                reservedByteCount: state.peer(id)?.reservedByteCount ?? 0,
                writtenByteCount: own.values.reduce(0, +))
        }
        return (room, written)
    }

    /// Tells the operator that nothing more fits here, where a disk may seem to have space.
    func warnIfFull() async throws {
        let record = try await driver.read { [id] in $0.peer(id) }
        guard let record, record.freeByteCount == 0 else { return }
        log.warning(
            "no shard fits on this peer: what its disk has free is promised to uploads or kept free (storage.headroom)",
            metadata: [
                "capacity": "\(record.capacityByteCount)", "used": "\(record.usedByteCount)",
                "reserved": "\(record.reservedByteCount)",
            ])
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
            let record = try await driver.read { [id] in $0.peer(id) }
            let known = record?.capacityByteCount ?? 0
            if CapacityGauge.isNoticeable(from: known, to: measured) {
                try await driver.appendPersistently(
                    .setCapacity(id, byteCount: measured), logger: log)
                if record?.freeByteCount != 0 { try await warnIfFull() }
            }
        }
    }
}
