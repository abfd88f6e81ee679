import ArgumentParser
import IngestAPI
import ShardPlanner

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows the peers and their room, or a pin on every peer.")

    @Argument(help: "The pin to show.")
    var cid: String?

    @OptionGroup(title: "Service options") var service: ServiceOptions

    func run() async throws {
        try await service.withClient { client in
            let peers = try await client.peers()
            if let cid {
                try print(try await client.pin(cid))
            } else {
                try PeerTable.print(peers, isJSON: service.isJSON)
            }
            // JSON has that shard by shard, from `shards`.
            if service.isJSON { return }
            let tables =
                if let cid { [try await client.shardTable(cid)] } else {
                    try await client.shardTables()
                }
            try printCopies(tables, peerCount: peers.count)
        }
    }

    /// Shards that have not the copies that were asked for.
    private func printCopies(_ tables: [ShardTable], peerCount: Int) throws {
        let counts = tables.map { $0.miscopied(peerCount: peerCount) }
        let (under, over) = (counts.reduce(0) { $0 + $1.under }, counts.reduce(0) { $0 + $1.over })
        let total = tables.reduce(0) { $0 + $1.shards.count }
        let shards = total == 1 ? "1 shard" : "\(total) shards"
        try Console.shared.printLine(
            "\(shards): \(under) with too few copies, \(over) with more than asked for")
    }

    private func print(_ pin: GlobalPinInfo) throws {
        if service.isJSON { return try Console.shared.printLine(JSONBody.encode(pin)) }
        try Console.shared.printLine(pin.cid + (pin.name.isEmpty ? "" : "  \(pin.name)"))
        var table = TextTable(["PEER", "STATE", "SINCE", "ERROR"])
        for (id, state) in pin.peerMap.sorted(by: { $0.key < $1.key }) {
            table.add([
                peerText(id, state.peername), state.status.rawValue, "\(state.timestamp)",
                state.error,
            ])
        }
        try table.print()
    }
}

/// The peers and their room.
enum PeerTable {
    static func print(_ peers: [PeerDocument], isJSON: Bool) throws {
        if isJSON {
            for peer in peers { try Console.shared.printLine(JSONBody.encode(peer)) }
            return
        }
        var table = TextTable([
            "PEER", "STATE", "CAPACITY", "USED", "RESERVED", "FREE", "ZONE", "ADDRESS",
        ])
        table.rightAligned = [2, 3, 4, 5]
        for peer in peers {
            guard let storage = peer.storage else {
                table.add([peerText(peer.id, peer.peername), "unknown", "", "", "", "", ""])
                continue
            }
            let taken = storage.usedBytes &+ storage.reservedBytes
            let free = storage.capacityBytes > taken ? storage.capacityBytes - taken : 0
            let sizes = [storage.capacityBytes, storage.usedBytes, storage.reservedBytes, free]
                .map { ByteCountText.text(Int(clamping: $0)) }
            table.add(
                [peerText(peer.id, peer.peername), storage.state] + sizes
                    + [storage.zone ?? "", peer.addresses.joined(separator: " ")])
        }
        try table.print()
    }
}
