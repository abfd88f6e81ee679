import Multiformats
import ShardPlanner

@testable import Pinset

/// Runs a script and writes it again with the answers that it got.
struct ScenarioRunner {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private var cluster = TestCluster(state: PinsetState(rememberedRequestLimit: 50))
    /// What IDs are called in the script.
    private var labels: [(id: String, label: String)] = []
    private var requests: [String: RequestID] = [:]

    mutating func run(_ script: String) throws -> String {
        var output: [String] = []
        let lines = script.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for line in lines {
            if line.hasPrefix("> ") {
                output.append(line)
                output += try answer(String(line.dropFirst(2))).map(relabelled)
            } else if line.isEmpty || line.hasPrefix("#") {
                output.append(line)
            }
        }
        let findings = cluster.state.checkInvariants()
        output += findings.isEmpty ? [] : ["! " + findings.joined(separator: "; ")]
        return output.joined(separator: "\n")
    }

    private mutating func answer(_ line: String) throws -> [String] {
        var words = Words(line)
        let verb = try words.next()
        if verb == "show" { return try show(&words) }
        let request = words.option("request")
        let command = try self.command(verb, &words)
        try words.finish()
        // Through the wire, so that every scenario tests the encoding too.
        let decoded = try Command(decoding: command.encoded)
        var requestID = cluster.requestID()
        if let request {
            requestID = requests[request] ?? requestID
            requests[request] = requestID
        }
        let outcome = cluster.run(decoded, as: requestID)
        return describe(outcome) + cluster.effects.map { "  " + describe($0) }
    }

    // MARK: - Commands

    private mutating func command(_ verb: String, _ words: inout Words) throws -> Command {
        switch verb {
        case "join":
            let name = try words.next()
            label(Names.peer(name).description, name)
            return .joinPeer(
                Names.join(
                    name, zone: words.option("zone"), host: words.option("host"),
                    capacity: try words.number("capacity"),
                    storage: words.option("storage").flatMap { UInt64($0) }.map {
                        StorageID(high: 0, low: $0)
                    }, replacing: words.flag("replace")))
        case "capacity":
            return .setCapacity(try peer(&words), byteCount: try words.number())
        case "down":
            return .setPeerStatus(
                try peer(&words),
                .down(since: LogTime(millisecondsSinceEpoch: UInt64(try words.number()))))
        case "up": return .setPeerStatus(try peer(&words), .up)
        case "drain": return .drainPeer(try peer(&words))
        case "undrain": return .undrainPeer(try peer(&words))
        case "forget":
            return .forgetPeer(try peer(&words), acceptingLoss: words.flag("accept-loss"))
        case "dropped":
            return .confirmDropped(
                try peer(&words), shard: try cid(&words), generation: try words.number())
        case "unpin": return .unpin(try cid(&words))
        case "expire-pins":
            return .expirePins(at: LogTime(millisecondsSinceEpoch: UInt64(try words.number())))
        case "forget-ended":
            return .forgetEndedUploads(
                endedBefore: LogTime(millisecondsSinceEpoch: UInt64(try words.number())))
        default: return try uploadCommand(verb, &words)
        }
    }

    private mutating func uploadCommand(_ verb: String, _ words: inout Words) throws -> Command {
        let name = try words.next()
        let id = Names.upload(name)
        label(id.description, name)
        switch verb {
        case "open": return .openUpload(id, try options(name, &words))
        case "reserve":
            return .reserveShard(id, number: try words.number(), byteCount: try words.number())
        case "extend":
            return .extendReservation(
                id, number: try words.number(), byteCount: try words.number())
        case "reallocate":
            return .reallocateShard(
                id, number: try words.number(),
                excluding: words.list("excluding").map(Names.peer))
        case "seal": return try seal(id, &words)
        case "commit":
            let root = try cid(&words)
            let shards = words.list("shards")
            let dag = words.list("dag")
            return .commitUpload(
                id,
                UploadCommit(
                    root: root, clusterDAG: Names.clusterDAG(dag.isEmpty ? shards : dag),
                    shardCount: shards.count, contentByteCount: 10))
        case "abort": return .abortUpload(id, reason: words.option("because") ?? "asked to")
        case "renew": return .renewUpload(id)
        case "expire": return .expireUpload(id, renewals: try words.number())
        default: throw Failure(description: "no command \(verb)")
        }
    }

    private func options(_ name: String, _ words: inout Words) throws -> UploadOptions {
        var options = UploadOptions(
            name: words.option("name") ?? name,
            policy: try AllocationPolicy(
                replicationMin: words.optionalNumber("min") ?? 1,
                replicationMax: words.optionalNumber("max") ?? words.optionalNumber("min") ?? 1,
                userAllocations: words.list("allowed").map(Names.peer)),
            shardLimitByteCount: 100, coordinator: Names.peer(words.option("by") ?? "a"),
            metadata: PinMetadata(words.option("metadata").map { ["note": $0] } ?? [:]))
        _ = words.option("min")
        options.expireAt = words.optionalNumber("until").map {
            LogTime(millisecondsSinceEpoch: UInt64($0))
        }
        options.expectedByteCount = words.optionalNumber("expected")
        return options
    }

    private mutating func seal(_ id: UploadID, _ words: inout Words) throws -> Command {
        let number = try words.number()
        let name = try words.next()
        let file = words.optionalNumber("file") ?? 90
        let shard = TestCluster.shard(
            name, blocks: words.optionalNumber("blocks") ?? 3, file: file,
            depth: words.optionalNumber("depth") ?? 1)
        label(shard.cid.description, name)
        var receipts = cluster.receipts(words.list("on").map(Names.peer), of: shard)
        let generation = words.optionalNumber("generation")
        let size = words.optionalNumber("stored")
        let storage = words.optionalNumber("storage")
        for index in receipts.indices {
            receipts[index].generation = generation ?? receipts[index].generation
            receipts[index].fileByteCount = size ?? file
            if let storage { receipts[index].storageID = StorageID(high: 0, low: UInt64(storage)) }
        }
        return .sealShard(id, number: number, shard, receipts: receipts)
    }

    private func peer(_ words: inout Words) throws -> PeerID { Names.peer(try words.next()) }

    private mutating func cid(_ words: inout Words) throws -> CID {
        let name = try words.next()
        label(Names.cid(name).description, name)
        return Names.cid(name)
    }

    // MARK: - Answers

    private func describe(_ outcome: Outcome) -> [String] {
        switch outcome {
        case .done: ["done"]
        case .reserved(let shard):
            [
                "reserved \(shard.byteCount) on \(list(shard.peers)), version "
                    + "\(shard.allocationVersion), others: \(shard.counts)"
            ]
        case .sealed(let shard):
            [
                "sealed, held by \(list(shard.holders))"
                    + (shard.alreadyHeld ? ", was there before" : "")
                    + (shard.surplus.isEmpty ? "" : ", surplus on \(list(shard.surplus))")
            ]
        case .committed(let upload):
            ["committed \(upload.root)" + (upload.replaced ? " in place of a former pin" : "")]
        case .unpinned(let roots):
            [
                "unpinned \(roots.rootCount), dropped \(roots.droppedShardCount) shards of "
                    + "\(roots.droppedByteCount) bytes"
            ]
        case .forgotten(let count): ["forgot \(count)"]
        case .refused(let refusal): ["refused: \(refusal)"]
        }
    }

    private func describe(_ effect: Effect) -> String {
        switch effect {
        case .membership: "effect: membership"
        case .uploadEnded(let id): "effect: upload \(id) ended"
        case .holdings(let peer): "effect: holdings of \(peer)"
        }
    }

    private mutating func show(_ words: inout Words) throws -> [String] {
        switch try words.next() {
        case "peers": return cluster.state.members.map(describe)
        case "pins":
            return cluster.state.pins().pins.map(describe)
        case "uploads": return cluster.state.allUploads.map { "\($0.id) \(describe($0.phase))" }
        case "shard":
            guard let shard = cluster.state.shard(try cid(&words)) else { return ["none"] }
            let copies = shard.copies.map { "\($0.peer) generation \($0.generation)" }
            return [
                "on \(copies.joined(separator: ", ")); min \(shard.replicationMin) max "
                    + "\(shard.replicationMax); used \(shard.uses.count) times"
            ]
        case "holdings":
            let holdings = cluster.state.holdings(of: try peer(&words))
            return holdings.copies.map { "holds \($0.shard) generation \($0.generation)" }
                + holdings.drops.map { "drops \($0.shard) generation \($0.generation)" }
        case "verdicts":
            let id = try words.next()
            guard let reservation = cluster.state.reservation(Names.upload(id), number: 0) else {
                return ["none"]
            }
            do {
                let decision = try cluster.state.replay(reservation.decision)
                return decision.verdicts.map(\.description)
            } catch {
                return ["refused: \(error)"]
            }
        case let other: throw Failure(description: "nothing to show of \(other)")
        }
    }

    private func describe(_ peer: PeerRecord) -> String {
        let status = peer.status == .up ? "up" : "down"
        return
            "\(peer.peer) \(status)\(peer.isDraining ? " draining" : ""): \(peer.copyCount) copies "
            + "of \(peer.copiesByteCount), dropping \(peer.droppingByteCount), reserved "
            + "\(peer.reservedByteCount), free \(peer.freeByteCount) of \(peer.capacityByteCount)"
    }

    private func describe(_ pin: PinRecord) -> String {
        let reference = pin.reference.map { " -> \($0)" } ?? ""
        return "\(pin.type.rawValue) \(pin.name) depth \(pin.maxDepth) \(pin.cid)\(reference) "
            + "factors \(pin.replicationFactorMin) \(pin.replicationFactorMax) size "
            + "\(pin.shardByteCount) on [\(list(pin.allocations))]"
    }

    private func describe(_ phase: UploadRecord.Phase) -> String {
        switch phase {
        case .open: "open"
        case .committed(let root, let at): "committed \(root) at \(at)"
        case .aborted(let reason, let at): "aborted at \(at): \(reason)"
        }
    }

    private func list(_ peers: [PeerID]) -> String {
        peers.map(\.description).joined(separator: ",")
    }

    private mutating func label(_ id: String, _ label: String) {
        guard !labels.contains(where: { $0.id == id }) else { return }
        labels.append((id, label))
    }

    private func relabelled(_ line: String) -> String {
        labels.reduce(line) { $0.replacing($1.id, with: $1.label) }
    }
}

/// The words of a line: plain ones in order, options as `key=value`.
private struct Words {
    private var plain: [String] = []
    private var options: [String: String] = [:]

    init(_ line: String) {
        for word in line.split(separator: " ") {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { options[parts[0]] = parts[1] } else { plain.append(String(word)) }
        }
        plain.reverse()
    }

    mutating func next() throws -> String {
        guard let word = plain.popLast() else {
            throw ScenarioRunner.Failure(description: "a word is missing")
        }
        return word
    }

    mutating func number() throws -> Int {
        guard let number = Int(try next()) else {
            throw ScenarioRunner.Failure(description: "a number is missing")
        }
        return number
    }

    mutating func option(_ key: String) -> String? { options.removeValue(forKey: key) }

    mutating func optionalNumber(_ key: String) -> Int? { options[key].flatMap { Int($0) } }

    mutating func number(_ key: String) throws -> Int {
        guard let number = option(key).flatMap({ Int($0) }) else {
            throw ScenarioRunner.Failure(description: "\(key)= is missing")
        }
        return number
    }

    mutating func list(_ key: String) -> [String] {
        (option(key) ?? "").split(separator: ",").map(String.init)
    }

    mutating func flag(_ name: String) -> Bool {
        guard let index = plain.firstIndex(of: name) else { return false }
        plain.remove(at: index)
        return true
    }

    func finish() throws {
        let known: Set = [
            "min", "max", "until", "expected", "file", "blocks", "depth", "generation", "stored",
            "storage",
        ]
        guard plain.isEmpty, Set(options.keys).isSubset(of: known) else {
            throw ScenarioRunner.Failure(description: "too much: \(plain) \(options)")
        }
    }
}
