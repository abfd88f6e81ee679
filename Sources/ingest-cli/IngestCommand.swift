import ArgumentParser

struct IngestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest-cli",
        abstract: "Puts files and directories into an ingestd service and gets them back.",
        discussion: """
            Exit codes: 0 done, 1 local or network failure, 2 refused by the service, 3 done in \
            part, 4 verification failed, 5 no space, 6 the source changed meanwhile, 130 interrupted.
            """,
        version: Version.text,
        subcommands: [
            AddCommand.self, GetCommand.self, LsCommand.self, ShardsCommand.self, PinCommand.self,
            StatusCommand.self, UploadsCommand.self, PeersCommand.self, VerifyCommand.self,
            VersionCommand.self,
            CompletionCommand.self,
        ])

    @OptionGroup var service: ServiceOptions
}

enum Version {
    static let text = "0.1.0"
}
