import ArgumentParser

struct CompletionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion", abstract: "Prints a completion script for a shell.",
        discussion: """
            Bash: ingest-cli completion bash > ~/.local/share/bash-completion/completions/ingest-cli
            """)

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() async throws {
        let script =
            switch shell {
            case .bash: IngestCommand.completionScript(for: .bash)
            case .zsh: IngestCommand.completionScript(for: .zsh)
            case .fish: IngestCommand.completionScript(for: .fish)
            }
        try Console.shared.printLine(script)
    }
}
