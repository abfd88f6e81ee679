import Multiformats

/// Everything a decision depends on as bytes: the archived log is replayed against its digest.
enum AllocationInput {
    /// SHA-256 of the input. Texts and lists carry their lengths, numbers are eight bytes with the
    /// highest first, peers come in order of their IDs.
    static func digest(_ request: AllocationRequest, _ peers: [PeerCapacity]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(128 + peers.count * 96)
        append(UInt64(AllocationRules.version), to: &bytes)
        bytes.append(contentsOf: request.upload.bytes)
        append(request.shardNumber, to: &bytes)
        append(request.shardByteCount, to: &bytes)
        append(request.policy.replicationMin, to: &bytes)
        append(request.policy.replicationMax, to: &bytes)
        for list in [request.policy.userAllocations, request.keeping, request.excluding] {
            append(list.count, to: &bytes)
            for peer in list { append(peer.bytes, to: &bytes) }
        }
        append(peers.count, to: &bytes)
        for peer in peers { append(peer, to: &bytes) }
        return sha256(bytes)
    }

    private static func append(_ peer: PeerCapacity, to bytes: inout [UInt8]) {
        append(peer.peer.bytes, to: &bytes)
        append(peer.capacityByteCount, to: &bytes)
        append(peer.usedByteCount, to: &bytes)
        append(peer.reservedByteCount, to: &bytes)
        for tag in [peer.zone, peer.host] {
            bytes.append(tag == nil ? 0 : 1)
            append(Array((tag ?? "").utf8), to: &bytes)
        }
        // Since when a peer is down changes the sentence, not the choice.
        switch peer.state {
        case .up: bytes.append(0)
        case .draining: bytes.append(1)
        case .down: bytes.append(2)
        }
    }

    private static func append(_ text: [UInt8], to bytes: inout [UInt8]) {
        append(text.count, to: &bytes)
        bytes.append(contentsOf: text)
    }

    private static func append(_ number: Int, to bytes: inout [UInt8]) {
        append(UInt64(bitPattern: Int64(number)), to: &bytes)
    }

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    private static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        do {
            return try bytes.withUnsafeBytes { try BlockHasher(.sha2_256).digest($0) }
        } catch {
            preconditionFailure("sha2-256 is always there: \(error)")
        }
    }
}
