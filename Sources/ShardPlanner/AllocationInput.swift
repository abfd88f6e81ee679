import Multiformats

/// Everything a decision depends on as bytes: the archived log is replayed against its digest.
enum AllocationInput {
    /// SHA-256 of the input. Texts and lists carry their lengths, numbers are eight bytes with the
    /// highest first, peers come in order of their IDs.
    static func digest(_ request: AllocationRequest, _ peers: [PeerCapacity]) -> [UInt8] {
        let lists = [request.policy.userAllocations, request.keeping, request.excluding]
        // All but the tags takes less than this: 88 bytes once, 89 for each peer.
        let peerCount = peers.count + lists.reduce(0) { $0 + $1.count }
        let byteLimit = peers.reduce(128 * (1 + peerCount)) {
            $0 + ($1.zone?.utf8.count ?? 0) + ($1.host?.utf8.count ?? 0)
        }
        return withUnsafeTemporaryAllocation(byteCount: byteLimit, alignment: 8) { bytes in
            var writer = Writer(bytes: bytes)
            writer.append(AllocationRules.version)
            writer.append(request.upload.high)
            writer.append(request.upload.low)
            writer.append(request.shardNumber)
            writer.append(request.shardByteCount)
            writer.append(request.policy.replicationMin)
            writer.append(request.policy.replicationMax)
            for list in lists {
                writer.append(list.count)
                for peer in list { writer.append(peer) }
            }
            writer.append(peers.count)
            for peer in peers { writer.append(peer) }
            return sha256(UnsafeRawBufferPointer(rebasing: bytes[..<writer.byteCount]))
        }
    }

    /// Fills memory from its start. There is a piece of input for each peer and each decision, so it
    /// matters what a piece costs: an array that grows takes several times as long.
    private struct Writer {
        let bytes: UnsafeMutableRawBufferPointer
        private(set) var byteCount = 0

        init(bytes: UnsafeMutableRawBufferPointer) {
            self.bytes = bytes
        }

        mutating func append(_ peer: PeerCapacity) {
            append(peer.peer)
            append(peer.capacityByteCount)
            append(peer.usedByteCount)
            append(peer.reservedByteCount)
            append(tag: peer.zone)
            append(tag: peer.host)
            // Since when a peer is down changes the sentence, not the choice.
            switch peer.state {
            case .up: append(byte: 0)
            case .draining: append(byte: 1)
            case .down: append(byte: 2)
            }
        }

        mutating func append(_ peer: PeerID) {
            append(PeerID.byteCount)
            peer.write(to: room(PeerID.byteCount))
        }

        mutating func append(_ number: Int) { append(UInt64(bitPattern: Int64(number))) }

        mutating func append(_ number: UInt64) {
            room(8).storeBytes(of: number.bigEndian, as: UInt64.self)
        }

        private mutating func append(tag: String?) {
            append(byte: tag == nil ? 0 : 1)
            let text = (tag ?? "").utf8
            append(text.count)
            room(text.count).copyBytes(from: text)
        }

        private mutating func append(byte: UInt8) { room(1)[0] = byte }

        private mutating func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
            precondition(count <= bytes.count - byteCount, "the input is longer than it can be")
            let room = bytes[byteCount..<byteCount + count]
            byteCount += count
            return UnsafeMutableRawBufferPointer(rebasing: room)
        }
    }

    private static func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        do {
            return try BlockHasher(.sha2_256).digest(bytes)
        } catch {
            preconditionFailure("sha2-256 is always there: \(error)")
        }
    }
}
