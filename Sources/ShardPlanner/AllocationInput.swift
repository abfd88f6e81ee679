import Multiformats

/// Everything a decision depends on as bytes: the archived log is replayed against its digest.
enum AllocationInput {
    /// SHA-256 of the input. Texts and lists carry their lengths, numbers are eight bytes with the
    /// highest first, peers come in order of their IDs.
    static func digest(_ request: AllocationRequest, _ peers: [PeerCapacity]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256 + peers.count * 128)
        append(AllocationRules.version, to: &bytes)
        bytes.append(contentsOf: request.upload.bytes)
        append(request.shardNumber, to: &bytes)
        append(request.shardByteCount, to: &bytes)
        append(request.policy.replicationMin, to: &bytes)
        append(request.policy.replicationMax, to: &bytes)
        for list in [request.policy.userAllocations, request.keeping, request.excluding] {
            append(list.count, to: &bytes)
            for peer in list { append(peer, to: &bytes) }
        }
        append(peers.count, to: &bytes)
        for peer in peers { append(peer, to: &bytes) }
        return sha256(bytes)
    }

    private static func append(_ peer: PeerCapacity, to bytes: inout [UInt8]) {
        append(peer.peer, to: &bytes)
        append(peer.capacityByteCount, to: &bytes)
        append(peer.usedByteCount, to: &bytes)
        append(peer.reservedByteCount, to: &bytes)
        append(tag: peer.zone, to: &bytes)
        append(tag: peer.host, to: &bytes)
        // Since when a peer is down changes the sentence, not the choice.
        switch peer.state {
        case .up: bytes.append(0)
        case .draining: bytes.append(1)
        case .down: bytes.append(2)
        }
    }

    private static func append(tag: String?, to bytes: inout [UInt8]) {
        bytes.append(tag == nil ? 0 : 1)
        let text = (tag ?? "").utf8
        append(text.count, to: &bytes)
        bytes.append(contentsOf: text)
    }

    private static func append(_ peer: PeerID, to bytes: inout [UInt8]) {
        append(PeerID.byteCount, to: &bytes)
        peer.append(to: &bytes)
    }

    private static func append(_ number: Int, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }

    private static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        do {
            return try bytes.withUnsafeBytes { try BlockHasher(.sha2_256).digest($0) }
        } catch {
            preconditionFailure("sha2-256 is always there: \(error)")
        }
    }
}
