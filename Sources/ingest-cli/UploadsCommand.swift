import ArgumentParser
import IngestAPI
import IngestClient

struct UploadsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uploads",
        abstract: "Lists the uploads that are open, and aborts them.",
        subcommands: [List.self, Abort.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "Lists open uploads of all peers.")

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                let uploads = try await client.uploads()
                if service.isJSON {
                    for upload in uploads {
                        try Console.shared.printLine(JSONBody.encode(upload))
                    }
                    return
                }
                var table = TextTable([
                    "UPLOAD", "NAME", "OPENED", "ACKNOWLEDGED", "LENGTH", "SEALED", "RESERVED",
                    "COORDINATOR",
                ])
                table.rightAligned = [3, 4, 5, 6]
                for upload in uploads {
                    table.add([
                        upload.id, upload.name, upload.opened.description,
                        // Only its coordinator knows how far it is, and nobody how long a stream is.
                        upload.offset.map(String.init) ?? "-",
                        upload.length.map(String.init) ?? "-", "\(upload.shardsSealed)",
                        "\(upload.reservedBytes)", upload.coordinator,
                    ])
                }
                try table.print()
            }
        }
    }

    struct Abort: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "abort", abstract: "Ends an upload and gives its space back.")

        @Argument(help: "The upload.")
        var upload: String

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                try await client.abortUpload(upload)
                try service.report(["upload": upload], as: "aborted \(upload)")
            }
        }
    }
}
