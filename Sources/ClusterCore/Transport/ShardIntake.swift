import Multiformats
import NIOCore
import Pinset
import PosixIO
import ShardPlanner

/// Why this peer does not begin to take a shard.
package enum ShardIntakeError: Error, CustomStringConvertible {
    case notPromised(UploadID, number: Int)
    case outdated(version: Int, current: Int)
    case busy(UploadID, number: Int)
    case behind(LogIndex)

    package var description: String {
        switch self {
        case .notPromised(let upload, let number):
            "no space is reserved here for shard \(number) of upload \(upload): it has ended, or the "
                + "shard is sealed or goes elsewhere"
        case .outdated(let version, let current):
            "the shard was allocated again (version \(current), not \(version))"
        case .busy(let upload, let number):
            "shard \(number) of upload \(upload) is arriving already; try again"
        case .behind(let index):
            "this peer has not applied the log up to \(index) in time; try again"
        }
    }
}

/// Takes shards that coordinators send here.
package struct ShardIntake: Sendable {
    /// How long the log may take to bring what the sender knows.
    private static let patience = Duration.seconds(10)

    private let peer: LocalPeer
    private var received: ReceivedShards { peer.received }

    package init(peer: LocalPeer) {
        self.peer = peer
    }

    /// What a coordinator says of the shard it sends.
    package struct Request: Sendable {
        package let upload: UploadID
        package let number: Int
        package let shard: CID
        package let blockCount: Int
        package let allocationVersion: Int
        package let minimumIndex: LogIndex

        package init(
            upload: UploadID, number: Int, shard: CID, blockCount: Int, allocationVersion: Int,
            minimumIndex: LogIndex
        ) {
            self.upload = upload
            self.number = number
            self.shard = shard
            self.blockCount = blockCount
            self.allocationVersion = allocationVersion
            self.minimumIndex = minimumIndex
        }
    }

    /// Waits until what another peer knew when it asked is applied here.
    ///
    /// - Throws: `ShardIntakeError.behind` when that takes too long.
    package func catchUp(to index: LogIndex) async throws {
        try await withThrowingTaskGroup(of: Void.self) { [driver = peer.driver] group in
            group.addTask { try await driver.waitUntilApplied(index) }
            group.addTask {
                try await Task.sleep(for: Self.patience)
                throw ShardIntakeError.behind(index)
            }
            try await group.next()
            group.cancelAll()
        }
    }

    /// Stores a shard durably and signs for it.
    ///
    /// Only what the state promises space to is taken, so a coordinator that was cut off and comes
    /// back changes nothing.
    package func take<Body: AsyncSequence & Sendable>(
        _ request: Request, body: Body
    ) async throws -> SignedReceipt where Body.Element == ByteBuffer {
        let place = ReceivedShards.Place(upload: request.upload, number: request.number)
        let byteCount = try await promisedByteCount(request)
        var copy = ShardCopyID(
            shard: request.shard, generation: try await peer.generation(ofShard: request.shard))
        guard try await received.begin(place, shard: request.shard) else {
            throw ShardIntakeError.busy(request.upload, number: request.number)
        }
        do {
            let staged = try await receive(request, body, reservedByteCount: byteCount)
            copy = try await install(staged, as: copy)
            for former in received.arrived(place, copy) { try await peer.releaseClaim(former) }
            let receipt = Receipt(
                peer: peer.id, storageID: peer.storageID, generation: copy.generation,
                fileByteCount: staged.fileByteCount)
            // An upload that ended meanwhile was told to the reconciler before the copy was here.
            peer.reconciler.wake()
            return try SignedReceipt(
                receipt, shard: request.shard, upload: request.upload, number: request.number,
                identity: peer.identity)
        } catch {
            received.failed(place)
            peer.reconciler.wake()
            throw error
        }
    }

    private func promisedByteCount(_ request: Request) async throws -> Int {
        try await catchUp(to: request.minimumIndex)
        let reservation = try await peer.driver.read { state in
            state.reservation(request.upload, number: request.number)
        }
        guard let reservation, reservation.peers.contains(peer.id) else {
            throw ShardIntakeError.notPromised(request.upload, number: request.number)
        }
        guard reservation.allocationVersion == request.allocationVersion else {
            throw ShardIntakeError.outdated(
                version: request.allocationVersion, current: reservation.allocationVersion)
        }
        return reservation.byteCount
    }

    private func receive<Body: AsyncSequence & Sendable>(
        _ request: Request, _ body: Body, reservedByteCount: Int
    ) async throws -> StagedShard where Body.Element == ByteBuffer {
        let upload = request.upload.description
        // What an earlier attempt has left.
        try await peer.workers.run { [store = peer.store] in
            try store.staging.remove(upload: upload, number: request.number)
        }
        let writer = try await peer.store.staging.makeWriter(upload: upload, number: request.number)
        writer.reservedByteCount = reservedByteCount
        let receiver = ShardReceiver(
            shard: request.shard, blockCount: request.blockCount, writer: writer,
            workers: peer.workers)
        do {
            for try await piece in body { try await receiver.take(piece) }
            return try await receiver.finish()
        } catch {
            await receiver.abandon()
            try await peer.workers.run { [store = peer.store] in
                try store.staging.remove(upload: upload, number: request.number)
            }
            throw error
        }
    }

    /// Gives the file its name. If the shard was dropped here meanwhile, it is a new copy of it.
    private func install(_ staged: StagedShard, as copy: ShardCopyID) async throws -> ShardCopyID {
        _ = try await peer.workers.run { [store = peer.store] in
            try store.install(staged, generation: copy.generation)
        }
        do {
            let generation = try await peer.generation(ofShard: copy.shard)
            guard generation > copy.generation else { return copy }
            return try await peer.renewClaim(on: copy, generation: generation)
        } catch {
            try await peer.releaseClaim(copy)
            throw error
        }
    }
}
