import ArgumentParser
import IngestAPI
import IngestClient

struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Shows the versions of this program and of the service.")

    @OptionGroup(title: "Service options") var service: ServiceOptions

    func run() async throws {
        struct Versions: Encodable {
            var client: String
            var service: String?
        }
        if !service.isJSON { try Console.shared.printLine("ingest-cli \(Version.text)") }
        let document: VersionDocument
        do {
            document = try await service.withClient { try await $0.version() }
        } catch {
            // The half of the answer that needs no service stands.
            if service.isJSON {
                try Console.shared.printLine(
                    JSONBody.encode(Versions(client: Version.text, service: nil)))
            }
            throw error
        }
        try Console.shared.printLine(
            service.isJSON
                ? JSONBody.encode(Versions(client: Version.text, service: document.version))
                : Array("ingestd    \(document.version)".utf8))
    }
}
