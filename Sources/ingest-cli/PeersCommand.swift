import ArgumentParser
import IngestAPI
import IngestClient

struct PeersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers",
        abstract: "Lists the peers of the cluster, and removes or drains them.",
        subcommands: [List.self, Remove.self, Drain.self, Undrain.self],
        defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "Lists the peers with their addresses and room.")

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                try PeerTable.print(try await client.peers(), isJSON: service.isJSON)
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm",
            abstract: "Ends a peer's membership; one with shards is named with what would be lost.")

        @Argument(help: "The peer's ID.")
        var peer: String

        @Flag(help: "Give up the copies it holds, also the last ones of roots.")
        var acceptLoss = false

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                try await client.removePeer(peer, acceptingLoss: acceptLoss)
                try Console.shared.printLine("removed \(peer)")
            }
        }
    }

    struct Drain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "drain",
            abstract: "Lets a peer get no new shards, and those it has get copies elsewhere.")

        @Argument(help: "The peer's ID.")
        var peer: String

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                try await client.setDraining(peer, true)
                try Console.shared.printLine("draining \(peer)")
            }
        }
    }

    struct Undrain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "undrain", abstract: "Lets a peer get new shards again.")

        @Argument(help: "The peer's ID.")
        var peer: String

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                try await client.setDraining(peer, false)
                try Console.shared.printLine("no longer draining \(peer)")
            }
        }
    }
}
