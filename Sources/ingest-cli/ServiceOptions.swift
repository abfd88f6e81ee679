import ArgumentParser
import Glibc
import IngestAPI
import IngestClient
import PosixIO

/// The form of what a command prints on standard output.
enum OutputEncoding: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

/// Options of every command.
struct ServiceOptions: ParsableArguments {
    @Option(help: "Address of the service. Default: INGEST_API, or http://127.0.0.1:9094.")
    var api: String?

    @Option(help: "File with the bearer token. Default: INGEST_TOKEN_FILE.")
    var tokenFile: String?

    @Option(help: "File with the certificates to trust, in PEM.")
    var caFile: String?

    @Option(help: "How long to wait while nothing comes from the service, such as 90s or 10m.")
    var timeout = "5m"

    @Option(help: "Form of the output: text or json.")
    var enc = OutputEncoding.text

    var isJSON: Bool { enc == .json }

    /// Prints what was done: the fields of a JSON object, or a sentence.
    func report(_ fields: [String: String], as text: String) throws {
        try Console.shared.printLine(isJSON ? JSONBody.encode(fields) : Array(text.utf8))
    }

    /// Makes a client for the length of `body`.
    func withClient<Result>(
        _ body: (ServiceClient) async throws -> Result
    ) async throws -> Result {
        let client = try ServiceClient(try configuration())
        do {
            let result = try await body(client)
            await client.shutDown()
            return result
        } catch {
            await client.shutDown()
            throw error
        }
    }

    private func configuration() throws -> ServiceConfiguration {
        var configuration = try ServiceConfiguration(
            address: api ?? environment("INGEST_API") ?? "http://127.0.0.1:9094")
        configuration.certificateFile = caFile
        if let path = tokenFile ?? environment("INGEST_TOKEN_FILE") {
            let text = String(decoding: try FileSystem.loadFile(path), as: UTF8.self)
            let token = text.split(whereSeparator: \.isWhitespace)
            guard token.count == 1 else {
                throw CommandOutcome(
                    .local, "\(path) does not hold one token; put the token and nothing else there")
            }
            configuration.token = String(token[0])
        }
        guard let idleTimeout = GoDuration.parse(timeout), idleTimeout > .zero else {
            throw CommandOutcome(
                .local, "--timeout \(timeout) is not a span of time; write one such as 90s or 10m")
        }
        configuration.idleTimeout = idleTimeout
        return configuration
    }
}

/// An environment variable that is set to something.
func environment(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
}
