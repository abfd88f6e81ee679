import ClusterCore
import Hummingbird
import IngestAPI
import Multiformats
import Pinset
import ShardPlanner

/// The routes that read or change the replicated state.
struct StateRoutes: Sendable {
    let peer: LocalPeer
    /// Peers with a vote, and whether each is up; none where peers run no etcd.
    let whoVotes: @Sendable () async throws -> [PeerID: Bool]
    let uploads: OpenUploads

    /// Most pins in one answer; the rest is asked for with `after`.
    private static let pageLimit = 100_000

    func respond(_ route: Route, _ target: RequestTarget) async throws -> Response {
        switch route {
        case .identity: try .json(try await identity())
        case .version: try .json(VersionDocument(version: Version.text))
        case .peers: try .lines(try await members())
        case .removePeer(let text): try await removePeer(text, QueryString.parse(target.query))
        case .drainPeer(let text): try await setDraining(text, true)
        case .undrainPeer(let text): try await setDraining(text, false)
        case .allocations: try await allocations(QueryString.parse(target.query))
        case .allocation(let text): try .json(try await pinDocument(Self.cid(text)))
        case .pins: try await pins(QueryString.parse(target.query))
        case .pin(let text), .recoverPin(let text):
            try .json(try await pinInfo(Self.cid(text)))
        case .addPin(let text): try await addPin(text, QueryString.parse(target.query))
        case .removePin(let text): try await removePin(Self.cid(text))
        case .shards: try .lines(try await shardTables())
        case .shardTable(let text): try .json(try await shardTable(Self.cid(text)))
        case .shardWhy(let text):
            try .json(try await why(Self.cid(text), QueryString.parse(target.query)))
        case .safeToStop(let text): try .json(try await safeToStop(text))
        case .upload(let text): try .json(try await upload(text))
        case .stateDigest: try .json(try await stateDigest())
        case .receipt(let text):
            throw Problem(.notFound, "there is no receipt for \(try Self.cid(text)) on this peer")
        case .uploads: try .lines(try await openUploads())
        case .add, .kuboAdd, .joinPeer, .plans, .content, .alive, .ready, .metrics, .openUpload,
            .appendToUpload, .abortUpload, .uploadLimits:
            preconditionFailure("answered elsewhere")
        }
    }

    private static func cid(_ text: String) throws -> CID { try CID(text) }

    // MARK: Peers

    private func identity() async throws -> PeerDocument {
        let members = try await peer.driver.read { $0.members }
        guard let own = members.first(where: { $0.peer == peer.id }) else {
            throw Problem(.unavailable, "this peer has not joined its own state yet; try again")
        }
        return Self.document(own, members: members)
    }

    private func members() async throws -> [PeerDocument] {
        let members = try await peer.driver.read { $0.members }
        return members.map { Self.document($0, members: members) }
    }

    private static func document(_ record: PeerRecord, members: [PeerRecord]) -> PeerDocument {
        PeerDocument(
            id: record.peer.description, peername: record.name, version: Version.text,
            addresses: record.addresses, clusterPeers: members.map(\.peer.description),
            storage: .init(
                capacityBytes: UInt64(record.capacityByteCount),
                usedBytes: UInt64(record.usedByteCount),
                reservedBytes: UInt64(record.reservedByteCount), zone: record.zone,
                host: record.host,
                state: record.status != .up ? "down" : record.isDraining ? "draining" : "up"))
    }

    private func setDraining(_ text: String, _ isDraining: Bool) async throws -> Response {
        let member = try await member(text)
        try await peer.perform(isDraining ? .drainPeer(member) : .undrainPeer(member))
        return Response(status: .noContent)
    }

    private func removePeer(_ text: String, _ query: [QueryItem]) async throws -> Response {
        let member = try await member(text)
        guard member != peer.id else {
            throw Problem(
                .conflict, "\(member) is this peer; ask another one to remove it, or stop it")
        }
        let acceptsLoss = query.contains { $0.name == "accept-loss" && $0.value == "true" }
        let (isUp, copyCount, isSpare, lost) = try await peer.driver.read { state in
            (
                state.peer(member)?.status == .up, state.peer(member)?.copyCount ?? 0,
                state.isSpare(member),
                state.roots(lostWithout: member)
            )
        }
        guard isSpare || acceptsLoss else {
            throw Problem(.conflict, Self.lossText(of: member, isUp: isUp, copyCount, lost))
        }
        // Nobody else can end them, and what they reserved would keep the peer.
        let (orphans, isPromised) = try await peer.driver.read { state in
            (
                state.allOpenUploads.filter { $0.options.coordinator == member }.map(\.id),
                state.isPromisedToOthers(member)
            )
        }
        guard !isPromised else {
            throw Problem(
                .conflict,
                "uploads under way have space reserved on peer \(member); try again later")
        }
        for upload in orphans {
            do {
                try await peer.perform(
                    .abortUpload(upload, reason: "peer \(member), which took it, was removed"))
            } catch let error as CommandRefused {
                // It has ended by itself.
                guard case .uploadEnded = error.refusal else { throw error }
            }
        }
        try await peer.perform(.forgetPeer(member, acceptingLoss: acceptsLoss))
        return Response(status: .noContent)
    }

    private static func lossText(
        of member: PeerID, isUp: Bool, _ copyCount: Int, _ lost: [CID]
    ) -> String {
        let named = lost.prefix(100).map(\.description).joined(separator: ", ")
        let more = lost.count > 100 ? " and \(lost.count - 100) more" : ""
        let roots =
            lost.isEmpty
            ? "no root would lose its last copy of a shard"
            : "\(lost.count) roots would lose their last copy of a shard: \(named)\(more)"
        return
            "peer \(member) holds \(copyCount) copies, not all of them as often elsewhere as they "
            + "should be; \(roots); \(isUp ? "drain it" : "start it again") and wait, or give them up "
            + "with ingest-cli peers rm --accept-loss (accept-loss=true here)"
    }

    private func safeToStop(_ text: String) async throws -> SafeToStop {
        let member = try await member(text)
        let (unreadable, uploads) = try await peer.driver.read { state in
            (
                state.roots(unreadableWithout: member),
                state.allOpenUploads.filter { $0.options.coordinator == member }.count
            )
        }
        let voters = try await whoVotes()
        let others = voters.filter { $0.value && $0.key != member }.count
        let keepsQuorum = voters[member] != true || others > voters.count / 2
        return SafeToStop(
            isSafe: unreadable.isEmpty && uploads == 0 && keepsQuorum,
            unreadableRoots: unreadable.map(\.description), openUploads: uploads,
            keepsQuorum: keepsQuorum)
    }

    private func member(_ text: String) async throws -> PeerID {
        let id: PeerID
        do {
            id = try PeerID(text)
        } catch {
            throw Problem(.badPeerID, "'\(text.prefix(80))' is not a peer ID: \(error)")
        }
        let isKnown = try await peer.driver.read { $0.peer(id) != nil }
        guard isKnown else {
            throw Problem(
                .peerNotFound, "peer \(id) is not a member; GET /peers lists those who are")
        }
        return id
    }

    /// What tells whether this peer agrees with another one that has applied as much.
    private func stateDigest() async throws -> StateDigestDocument {
        let digest = try await peer.driver.stateDigest()
        return StateDigestDocument(
            appliedIndex: digest.appliedIndex.description, digest: Hexadecimal.text(digest.digest))
    }

    // MARK: Pins

    private func allocations(_ query: [QueryItem]) async throws -> Response {
        var reader = ListQuery(types: Set(PinType.allCases), limit: Self.pageLimit)
        try reader.read(query)
        let selection = reader
        let page = try await peer.driver.read {
            $0.pins(of: selection.types, after: selection.after, limit: selection.limit)
        }
        var response = try Response.lines(page.pins.map(Self.document))
        response.headers[.nextPage] = page.next?.description
        return response
    }

    private func pinDocument(_ cid: CID) async throws -> PinDocument {
        guard let pin = try await firstPin(of: cid) else {
            throw Problem(.pinNotFound, "\(cid) is not pinned; GET /allocations lists what is")
        }
        return Self.document(pin)
    }

    private func firstPin(of cid: CID) async throws -> PinRecord? {
        try await peer.driver.read { state in state.pins(for: cid).first }
    }

    private static func document(_ pin: PinRecord) -> PinDocument {
        let kind: PinKind =
            switch pin.type {
            case .pin: .pin
            case .meta: .meta
            case .clusterDAG: .clusterDAG
            case .shard: .shard
            }
        var document = PinDocument(cid: pin.cid.description, type: kind)
        document.name = pin.name
        document.replicationFactorMin = pin.replicationFactorMin
        document.replicationFactorMax = pin.replicationFactorMax
        document.mode = pin.mode == .recursive ? "recursive" : "direct"
        document.shardSize = UInt64(pin.shardByteCount)
        document.userAllocations = pin.userAllocations.map(\.description)
        document.expireAt = pin.expireAt.map { WallTime(milliseconds: $0.millisecondsSinceEpoch) }
        document.metadata = pin.metadata.dictionary
        document.origins = pin.origins
        document.allocations = pin.allocations.map(\.description)
        document.maxDepth = pin.maxDepth
        document.reference = pin.reference?.description
        document.timestamp = WallTime(milliseconds: pin.timestamp.millisecondsSinceEpoch)
        return document
    }

    private func pins(_ query: [QueryItem]) async throws -> Response {
        var reader = ListQuery(types: [.meta], limit: Self.pageLimit)
        try reader.read(query)
        let selection = reader
        if let cids = selection.cids {
            var infos: [GlobalPinInfo] = []
            for cid in cids { infos.append(try await pinInfo(cid)) }
            return try .lines(infos)
        }
        let (page, names) = try await peer.driver.read { state in
            (
                state.pins(of: selection.types, after: selection.after, limit: selection.limit),
                state.members.map { ($0.peer, $0.name) }
            )
        }
        var response = try Response.lines(page.pins.map { Self.info($0, names) })
        response.headers[.nextPage] = page.next?.description
        return response
    }

    private func pinInfo(_ cid: CID) async throws -> GlobalPinInfo {
        let (pin, names) = try await peer.driver.read { state in
            (state.pins(for: cid).first, state.members.map { ($0.peer, $0.name) })
        }
        guard let pin else {
            throw Problem(.pinNotFound, "\(cid) is not pinned; GET /pins lists what is")
        }
        return Self.info(pin, names)
    }

    private static func info(_ pin: PinRecord, _ names: [(PeerID, String)]) -> GlobalPinInfo {
        let time = WallTime(milliseconds: pin.timestamp.millisecondsSinceEpoch)
        var map: [String: GlobalPinInfo.PeerState] = [:]
        for (peer, name) in names {
            let status: PinState =
                switch pin.type {
                case .meta: .sharded
                case .shard: pin.allocations.contains(peer) ? .pinned : .remote
                case .pin, .clusterDAG: .pinned
                }
            map[peer.description] = .init(peername: name, status: status, timestamp: time)
        }
        return GlobalPinInfo(
            cid: pin.cid.description, name: pin.name,
            allocations: pin.allocations.map(\.description), origins: pin.origins, created: time,
            metadata: pin.metadata.dictionary, peerMap: map)
    }

    /// Only what was uploaded can be pinned: there is no network to fetch other data from.
    private func addPin(_ text: String, _ query: [QueryItem]) async throws -> Response {
        let name = text.hasPrefix("ipfs/") ? String(text.dropFirst(5)) : text
        let cid = try Self.cid(name.split(separator: "/").first.map(String.init) ?? "")
        _ = try PinParameters(parsing: query, now: .now)
        guard let pin = try await firstPin(of: cid) else {
            throw Problem(
                .pinNotFound,
                "\(cid) is not here, and data is not fetched from elsewhere; upload it with "
                    + "POST /add")
        }
        return try .json(Self.document(pin))
    }

    private func removePin(_ cid: CID) async throws -> Response {
        guard let pin = try await firstPin(of: cid) else {
            throw Problem(.pinNotFound, "\(cid) is not pinned; GET /pins lists what is")
        }
        guard pin.type == .meta || pin.type == .pin else {
            throw Problem(
                .conflict,
                "\(cid) is a \(pin.type.rawValue) of root \(pin.root); unpin the root instead")
        }
        try await peer.perform(.unpin(pin.root))
        return try .json(Self.document(pin))
    }

    // MARK: Shards

    private func shardTables() async throws -> [ShardTable] {
        let roots = try await peer.driver.read { $0.allRoots.map(\.root) }
        var tables: [ShardTable] = []
        for root in roots { tables.append(try await shardTable(root)) }
        return tables
    }

    private func shardTable(_ cid: CID) async throws -> ShardTable {
        let table: ShardTable? = try await peer.driver.read { state in
            guard let root = state.root(cid), let shards = state.shards(ofRoot: root.root) else {
                return nil
            }
            let members = Dictionary(uniqueKeysWithValues: state.members.map { ($0.peer, $0) })
            return ShardTable(
                root: root.root.description, clusterDAG: root.clusterDAG.description,
                name: root.options.name,
                replicationFactorMin: root.options.policy.replicationMin,
                replicationFactorMax: root.options.policy.replicationMax,
                shards: shards.enumerated().map { number, shard in
                    .init(
                        number: number, cid: shard.description.cid.description,
                        blocks: UInt64(shard.description.blockCount),
                        payloadBytes: UInt64(shard.description.payloadByteCount),
                        fileBytes: UInt64(shard.description.fileByteCount),
                        peers: shard.copies.map {
                            .init(
                                id: $0.peer.description, name: members[$0.peer]?.name ?? "",
                                state: members[$0.peer]?.status == .up ? "stored" : "lost")
                        })
                })
        }
        guard let table else {
            throw Problem(.pinNotFound, "\(cid) is not a pinned root; GET /pins lists the roots")
        }
        return table
    }

    private func why(_ cid: CID, _ query: [QueryItem]) async throws -> ShardWhy {
        let asksReplay = query.contains { $0.name == "replay" && $0.value == "true" }
        let found: (KeptDecision, AllocationDecision?, [PeerRecord])? =
            try await peer.driver.read { state in
                guard let decision = state.why(cid) else { return nil }
                // What cannot be decided again is shown without verdicts.
                return (decision, try? state.replay(decision), state.members)
            }
        guard let (decision, now, members) = found else {
            throw Problem(
                .shardNotFound, "\(cid) is not a shard; GET /shards/{root} lists those of a root")
        }
        // As it was then, from the archived log; or what would be decided now.
        let replayed = asksReplay ? try await peer.replay(decision) : now
        let isEqual =
            replayed.map { $0.chosen == decision.chosen && $0.inputDigest == decision.inputDigest }
        let names = Dictionary(uniqueKeysWithValues: members.map { ($0.peer, $0.name) })
        return ShardWhy(
            shard: cid.description, upload: decision.upload.description,
            number: decision.shardNumber, logIndex: decision.logIndex.rawValue,
            decidedAt: WallTime(milliseconds: decision.logTime.millisecondsSinceEpoch),
            rulesVersion: decision.rulesVersion, neededBytes: UInt64(decision.shardByteCount),
            chosen: decision.chosen.map(\.description),
            verdicts: (replayed?.verdicts ?? []).map {
                .init(
                    id: $0.peer.description, name: names[$0.peer] ?? "",
                    isChosen: decision.chosen.contains($0.peer), verdict: "\($0.verdict)")
            },
            inputDigest: decision.inputDigest.map { byte in
                let digits = String(byte, radix: 16)
                return digits.count == 1 ? "0" + digits : digits
            }.joined(), isReplayedEqually: asksReplay ? isEqual ?? false : nil)
    }

    /// Most shards of one plan.
    private static let plannedShardLimit = 100_000

    /// Where shards would go, decided as for an upload but without reserving anything.
    func plan(_ body: [UInt8], _ query: [QueryItem]) async throws -> Response {
        let request = try JSONBody.decode(PlanRequest.self, from: body)
        let sizes = request.fileBytes.map { Int(clamping: $0) }
        guard sizes.count <= Self.plannedShardLimit, sizes.allSatisfy({ $0 > 0 }) else {
            throw Problem(
                .badParameter,
                "file_bytes lists up to \(Self.plannedShardLimit) lengths, each at least 1")
        }
        let policy = try AllocationPolicy(PinParameters(parsing: query, now: .now))
        // The log does not wait for it, nor does who has hung up.
        var plan = try await peer.driver.read { $0.planner }
        let upload = UploadID.random()
        var shards: [[String]] = []
        for (number, byteCount) in sizes.enumerated() {
            try Task.checkCancellation()
            let peers = try plan.place(
                upload, number: number, fileByteCount: byteCount, policy: policy)
            shards.append(peers.map(\.description))
        }
        return try .json(PlanAnswer(shards: shards))
    }

    // MARK: Uploads

    private func upload(_ text: String) async throws -> UploadStatus {
        let found: (UploadRecord, UploadProgress?)? =
            try await peer.driver.read { state in
                guard let id = UploadID(text), let record = state.upload(id) else { return nil }
                return (record, state.progress(of: id))
            }
        guard let (record, progress) = found else {
            throw Problem(
                .uploadNotFound, "there is no upload '\(text.prefix(64))', or it ended long ago")
        }
        return await status(record, progress)
    }

    private func openUploads() async throws -> [UploadStatus] {
        let found = try await peer.driver.read { state in
            state.allOpenUploads.map { ($0, state.progress(of: $0.id)) }
        }
        var answers: [UploadStatus] = []
        for (record, progress) in found { answers.append(await status(record, progress)) }
        return answers
    }

    private func status(_ record: UploadRecord, _ progress: UploadProgress?) async -> UploadStatus {
        var status = UploadStatus(
            id: record.id.description, state: .open, name: record.options.name,
            coordinator: record.options.coordinator.description,
            opened: WallTime(milliseconds: record.openedAt.millisecondsSinceEpoch),
            offset: await uploads.offset(of: record.id).map { UInt64($0) },
            length: record.options.expectedByteCount.map(UInt64.init),
            shardsSealed: progress?.sealedCount ?? 0,
            reservedBytes: UInt64(progress?.reservedByteCount ?? 0))
        switch record.phase {
        case .open: break
        case .committed(let root, _):
            status.state = .committed
            status.root = root.description
        case .aborted(let reason, _):
            status.state = .aborted
            status.error = ErrorDocument(.uploadNotFound, reason)
        }
        return status
    }

    // MARK: Blocks that are derived from the state

    /// The bytes of a node of a cluster DAG, which is stored nowhere but follows from the shards.
    static func listNode(_ cid: CID, of peer: LocalPeer) async -> [UInt8]? {
        guard cid.codec == .dagCBOR else { return nil }
        let shards: [CID]? = try? await peer.driver.read { state in
            // The pins of a cluster DAG name its root.
            guard let pin = state.pins(for: cid).first(where: { $0.type == .clusterDAG }) else {
                return nil
            }
            return state.shards(ofRoot: pin.root)?.map(\.description.cid)
        }
        guard let shards else { return nil }
        let builder = ListNodeBuilder()
        for shard in shards {
            // A root's shards were a list before, so they fit one.
            if let leaf = try? builder.append(shard), leaf.cid == cid { return leaf.bytes }
        }
        return builder.finish().blocks.first { $0.cid == cid }?.bytes
    }
}
