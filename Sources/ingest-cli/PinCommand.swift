import ArgumentParser
import IngestAPI

struct PinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin", abstract: "Lists and removes what is kept.",
        subcommands: [List.self, Remove.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "Lists all roots, or shows one pin.")

        @Argument(help: "The pin to show.")
        var cid: String?

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                if let cid {
                    let pin = try await client.allocation(cid)
                    return service.isJSON
                        ? try Console.shared.printLine(JSONBody.encode(pin)) : try Self.print(pin)
                }
                var next: String?
                repeat {
                    let page = try await client.pins(after: next)
                    for pin in page.values { try print(pin) }
                    next = page.next
                } while next != nil
            }
        }

        private func print(_ pin: GlobalPinInfo) throws {
            if service.isJSON { return try Console.shared.printLine(JSONBody.encode(pin)) }
            let name = pin.name.isEmpty ? "" : "  \(pin.name)"
            try Console.shared.printLine("\(pin.cid)  \(pin.created)\(name)")
        }

        private static func print(_ pin: PinDocument) throws {
            let rows: [(String, String?)] = [
                ("cid", pin.cid),
                ("type", pin.type.rawValue),
                ("name", pin.name.isEmpty ? nil : pin.name),
                ("copies", "\(pin.replicationFactorMin) to \(pin.replicationFactorMax)"),
                ("peers", pin.allocations.isEmpty ? nil : pin.allocations.joined(separator: " ")),
                ("shard size", "\(pin.shardSize)"),
                ("reference", pin.reference),
                ("created", "\(pin.timestamp)"),
                ("expires", pin.expireAt.map { "\($0)" }),
            ]
            let metadata = pin.metadata.sorted { $0.key < $1.key }.map { ("meta \($0)", $1) }
            for (label, value) in rows + metadata {
                guard let value else { continue }
                let blanks = String(repeating: " ", count: max(1, 12 - label.count))
                try Console.shared.printLine(label + blanks + value)
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm",
            abstract: "Removes roots; shards that no other root needs go with them.")

        @Argument(help: "The roots.")
        var cids: [String]

        @OptionGroup(title: "Service options") var service: ServiceOptions

        func run() async throws {
            try await service.withClient { client in
                for cid in cids {
                    let pin = try await client.removePin(cid)
                    try Console.shared.printLine(
                        service.isJSON
                            ? JSONBody.encode(pin) : Array("removed \(pin.cid)".utf8))
                }
            }
        }
    }
}
