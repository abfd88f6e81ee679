import ArgumentParser
import ClusterCore
import Foundation
import IngestAPI
import Pinset
import PosixIO

struct StateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state", abstract: "Looks into the state of a peer that does not run.",
        subcommands: [Check.self])

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Replays the archived commands and checks the state after each of them.",
            discussion: """
                Prints one line of JSON. Exits with 4 when a command broke a rule, or when the archive \
                does not lead to the state that was saved.
                """)

        @OptionGroup var data: DataOption

        func run() async throws {
            guard try FileSystem.loadStatus(data.directory)?.kind == .directory else {
                throw DaemonError.noDataDirectory(data.directory)
            }
            let lock = try DirectoryLock(data.directory)
            defer { withExtendedLifetime(lock) {} }
            let store = try StateStore(path: data.stateFile, retention: .everything)
            do {
                let audit = try await StateAudit(
                    of: store, snapshots: try SnapshotFiles(dataDirectory: data.directory))
                try store.close()
                print(try Report(audit).line)
            } catch let error as StateAuditError {
                FileHandle.standardError.write(Data("Error: \(error)\n".utf8))
                throw ExitCode(4)
            }
        }
    }

    private struct Report: Encodable {
        var commands: Int
        var appliedIndex: String
        var digest: String
        /// The largest share of a capacity that was ever used or reserved.
        var fullest: Double

        enum CodingKeys: String, CodingKey {
            case commands
            case appliedIndex = "applied_index"
            case digest
            case fullest
        }

        init(_ audit: StateAudit) {
            commands = audit.commandCount
            appliedIndex = audit.appliedIndex.description
            digest = Hexadecimal.text(audit.digest)
            fullest = Double(audit.fullestMillionths) / 1_000_000
        }

        var line: String {
            get throws { String(decoding: try JSONBody.encode(self), as: UTF8.self) }
        }
    }
}
