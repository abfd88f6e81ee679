import Multiformats

/// Which peers hold a shard, and why the others do not.
package struct AllocationDecision: Equatable, Sendable {
    /// Kept peers in the order given, then new ones in the order picked.
    package var chosen: [PeerID]
    /// One verdict for every peer, by peer ID.
    package var verdicts: [PeerVerdict]
    package var counts: VerdictCounts
    /// SHA-256 over everything the decision depends on: equal digests, equal decisions.
    package var inputDigest: [UInt8]
    package var rulesVersion: Int
}

/// What was decided about one peer.
package struct PeerVerdict: Equatable, Sendable, CustomStringConvertible {
    package var peer: PeerID
    package var verdict: Verdict

    package var description: String { "\(peer): \(verdict)" }
}

/// Why a peer holds a shard or does not.
package enum Verdict: Equatable, Sendable, CustomStringConvertible {
    /// Picked; `copy` counts from 1, the fill is in thousandths of the capacity with the shard.
    case chosen(copy: Int, fillPermille: Int)
    /// Holds the shard or its reservation already.
    case kept
    case noRoom(neededByteCount: Int, freeByteCount: Int)
    case draining
    case down(forMilliseconds: UInt64)
    /// Not among the peers the user allowed.
    case notAllowed
    /// Failed to take this shard before.
    case excluded
    /// Another peer of its zone holds the shard, and a zone with fewer copies had room.
    case zoneUsed(zone: String?)
    /// Another peer on its machine holds the shard, and a machine with fewer copies had room.
    case hostUsed(host: String?)
    /// Would be fuller than the last peer picked; both in thousandths of the capacity.
    case fuller(fillPermille: Int, lastChosenPermille: Int)
    /// As full as the last peer picked; the rendezvous hash preferred the other.
    case tieLost

    package var description: String {
        switch self {
        case .chosen(let copy, let fill):
            "chosen for copy \(copy), \(Self.percent(fill)) full with it"
        case .kept: "kept: it has the shard or room reserved for it"
        case .noRoom(let needed, let free):
            "no space: needs \(ByteCountText.text(needed, besides: free)), has "
                + "\(ByteCountText.text(free, besides: needed)) after reservations"
        case .draining: "draining"
        case .down(let milliseconds): "down for \(milliseconds / 1000) s"
        case .notAllowed: "not among the allocations asked for"
        case .excluded: "failed to take this shard before"
        case .zoneUsed(let zone): zone.map { "zone \($0) already used" } ?? "zone already used"
        case .hostUsed(let host): host.map { "host \($0) already used" } ?? "host already used"
        case .fuller(let fill, let last):
            "fuller: \(Self.percent(fill)) with it, the last one chosen \(Self.percent(last))"
        case .tieLost: "as full as the last one chosen, lost the tie"
        }
    }

    private static func percent(_ permille: Int) -> String {
        "\(permille / 10).\(permille % 10) %"
    }
}

/// How many peers got which kind of verdict.
package struct VerdictCounts: Equatable, Sendable, CustomStringConvertible {
    package var noRoom = 0
    package var draining = 0
    package var down = 0
    package var notAllowed = 0
    package var excluded = 0
    /// Had room, but enough others were better.
    package var notNeeded = 0

    package init() {}

    /// The reasons that occur, such as "2 without room, 1 draining"; "none" when there are none.
    package var description: String {
        let parts = [
            (noRoom, "without room"), (draining, "draining"), (down, "down"),
            (notAllowed, "not allowed"), (excluded, "failed before"), (notNeeded, "not needed"),
        ]
        let text = parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
        return text.isEmpty ? "none" : text
    }

    mutating func count(_ verdict: Verdict) {
        switch verdict {
        case .chosen, .kept: break
        case .noRoom: noRoom += 1
        case .draining: draining += 1
        case .down: down += 1
        case .notAllowed: notAllowed += 1
        case .excluded: excluded += 1
        case .zoneUsed, .hostUsed, .fuller, .tieLost: notNeeded += 1
        }
    }
}
