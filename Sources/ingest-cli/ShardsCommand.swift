import ArgumentParser
import IngestAPI
import ShardPlanner

struct ShardsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shards",
        abstract: "Shows the shards of a root, and why they are where they are.",
        subcommands: [List.self, Why.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "Lists the shards of a root.")

        @Argument(help: "The root.")
        var root: String

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            let table = try await service.withClient { try await $0.shardTable(root) }
            if service.isJSON {
                return try Console.shared.printLine(JSONBody.encode(table))
            }
            var text = TextTable(["SHARD", "CID", "BLOCKS", "BYTES", "FILE BYTES", "PEERS"])
            text.rightAligned = [0, 2, 3, 4]
            for shard in table.shards {
                let peers = shard.peers.map { copy in
                    let peer = peerText(copy.id, copy.name)
                    return copy.state == "stored" ? peer : "\(peer) \(copy.state)"
                }
                text.add([
                    "\(shard.number)", shard.cid, "\(shard.blocks)", "\(shard.payloadBytes)",
                    "\(shard.fileBytes)", peers.isEmpty ? "none" : peers.joined(separator: ", "),
                ])
            }
            try text.print()
        }
    }

    struct Why: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "why", abstract: "Shows how the peers of a shard were chosen.")

        @Argument(help: "The shard.")
        var shard: String

        @Flag(help: "Decide again on the state of then, from the archived log, and compare.")
        var replay = false

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            let why = try await service.withClient {
                try await $0.shardWhy(shard, replaying: replay)
            }
            if service.isJSON {
                try Console.shared.printLine(JSONBody.encode(why))
            } else {
                try print(why)
            }
            if why.isReplayedEqually == false {
                throw CommandOutcome(
                    .verificationFailed, "the archived log leads to another decision")
            }
        }

        private func print(_ why: ShardWhy) throws {
            try Console.shared.printLine(
                "shard \(why.number) of upload \(why.upload), "
                    + "\(ByteCountText.text(Int(clamping: why.neededBytes))) needed, decided "
                    + "\(why.decidedAt) at log index \(why.logIndex) by rules \(why.rulesVersion)")
            var text = TextTable(["PEER", "HOLDS IT", "VERDICT"])
            for verdict in why.verdicts {
                text.add([
                    peerText(verdict.id, verdict.name), verdict.isChosen ? "yes" : "no",
                    verdict.verdict,
                ])
            }
            try text.print()
            if why.isReplayedEqually == true {
                try Console.shared.printLine("the archived log leads to the same decision")
            }
        }
    }
}
