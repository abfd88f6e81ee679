import ArgumentParser
import IngestClient

@main
struct IngestCommand: AsyncParsableCommand {
    func run() async throws {}
}
