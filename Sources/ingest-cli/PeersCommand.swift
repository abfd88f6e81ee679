import ArgumentParser
import IngestAPI
import IngestClient

struct PeersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers",
        abstract: "Lists the peers of the cluster, and removes or drains them.",
        subcommands: [List.self, Remove.self, Drain.self, Undrain.self, SafeToStop.self],
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

        @OptionGroup var member: Member

        @Flag(help: "Give up the copies it holds, also the last ones of roots.")
        var acceptLoss = false

        func run() async throws {
            try await member.perform("removed") {
                try await $0.removePeer($1, acceptingLoss: acceptLoss)
            }
        }
    }

    struct Drain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "drain",
            abstract: "Lets a peer get no new shards, and those it has get copies elsewhere.")

        @OptionGroup var member: Member

        func run() async throws {
            try await member.perform("draining") { try await $0.setDraining($1, true) }
        }
    }

    struct Undrain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "undrain", abstract: "Lets a peer get new shards again.")

        @OptionGroup var member: Member

        func run() async throws {
            try await member.perform("no longer draining") { try await $0.setDraining($1, false) }
        }
    }

    struct SafeToStop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "safe-to-stop",
            abstract: "Tells whether a peer can be stopped without harm; exit code 3 if not.")

        @OptionGroup var member: Member

        func run() async throws {
            let found = try await member.service.withClient { client in
                try await client.safeToStop(member.peer)
            }
            if member.service.isJSON {
                try Console.shared.printLine(JSONBody.encode(found))
            } else {
                let roots = found.unreadableRoots.count
                try Console.shared.printLine(
                    found.keepsQuorum
                        ? "enough voters remain"
                        : "too few voters would remain: nothing could be written")
                try Console.shared.printLine("uploads it takes now: \(found.openUploads)")
                try Console.shared.printLine("roots unreadable meanwhile: \(roots)")
                for root in found.unreadableRoots.prefix(100) {
                    try Console.shared.printLine("  \(root)")
                }
            }
            guard found.isSafe else {
                throw CommandOutcome(.partial, "\(member.peer) is not safe to stop")
            }
        }
    }

    /// The peer that a command is about.
    struct Member: ParsableArguments {
        @Argument(help: "The peer's ID.")
        var peer: String

        @OptionGroup(title: "Service options") var service: ServiceOptions

        /// - Parameter done: What is said of the peer afterwards.
        func perform(
            _ done: String, _ body: (ServiceClient, String) async throws -> Void
        ) async throws {
            try await service.withClient { client in
                try await body(client, peer)
                try service.report(["peer": peer, "done": done], as: "\(done) \(peer)")
            }
        }
    }
}
