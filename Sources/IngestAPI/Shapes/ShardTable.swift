/// The shards of a root in order, as `GET /shards/{root}` shows them.
package struct ShardTable: Equatable, Sendable, Codable {
    package var root: String
    package var clusterDAG: String
    package var name: String
    package var replicationFactorMin: Int
    package var replicationFactorMax: Int
    package var shards: [Shard]

    package struct Shard: Equatable, Sendable, Codable {
        /// From 0.
        package var number: Int
        package var cid: String
        package var blocks: UInt64
        /// Sum of the block sizes.
        package var payloadBytes: UInt64
        /// Length of the shard's file.
        package var fileBytes: UInt64
        package var peers: [Copy]

        private enum CodingKeys: String, CodingKey {
            case number, cid, blocks, peers
            case payloadBytes = "payload_bytes"
            case fileBytes = "file_bytes"
        }

        package init(
            number: Int, cid: String, blocks: UInt64, payloadBytes: UInt64, fileBytes: UInt64,
            peers: [Copy]
        ) {
            self.number = number
            self.cid = cid
            self.blocks = blocks
            self.payloadBytes = payloadBytes
            self.fileBytes = fileBytes
            self.peers = peers
        }
    }

    /// One peer's copy of a shard.
    package struct Copy: Equatable, Sendable, Codable {
        package var id: String
        package var name: String
        /// `stored`, or `lost` while its peer is not up.
        package var state: String

        package init(id: String, name: String, state: String) {
            self.id = id
            self.name = name
            self.state = state
        }
    }

    /// Shards with fewer copies that can be read than were asked for, and shards with more.
    ///
    /// - Parameter peerCount: Members, for copies on all of them.
    package func miscopied(peerCount: Int) -> (under: Int, over: Int) {
        let (least, most) = (
            wanted(replicationFactorMin, peerCount), wanted(replicationFactorMax, peerCount)
        )
        let counts = shards.map { $0.peers.count { $0.state == "stored" } }
        return (counts.count { $0 < least }, counts.count { $0 > most })
    }

    private func wanted(_ factor: Int, _ peerCount: Int) -> Int { factor < 0 ? peerCount : factor }

    private enum CodingKeys: String, CodingKey {
        case root, name, shards
        case clusterDAG = "cluster_dag"
        case replicationFactorMin = "replication_factor_min"
        case replicationFactorMax = "replication_factor_max"
    }

    package init(
        root: String, clusterDAG: String, name: String, replicationFactorMin: Int,
        replicationFactorMax: Int, shards: [Shard]
    ) {
        self.root = root
        self.clusterDAG = clusterDAG
        self.name = name
        self.replicationFactorMin = replicationFactorMin
        self.replicationFactorMax = replicationFactorMax
        self.shards = shards
    }
}

/// Why a shard is where it is, as `GET /shards/{cid}/why` shows it: the decision of placement,
/// replayed from the log.
package struct ShardWhy: Equatable, Sendable, Codable {
    package var shard: String
    package var upload: String
    package var number: Int
    /// The place of the decision in the log.
    package var logIndex: UInt64
    package var decidedAt: WallTime
    package var rulesVersion: Int
    /// Bytes the decision was made for.
    package var neededBytes: UInt64
    package var chosen: [String]
    package var verdicts: [PeerVerdict]
    /// SHA-256 over what was decided upon, in hexadecimal: equal digests, equal decisions.
    package var inputDigest: String
    /// Whether the archived log leads to the same decision again; `nil` when that was not asked.
    package var isReplayedEqually: Bool?

    package struct PeerVerdict: Equatable, Sendable, Codable {
        package var id: String
        package var name: String
        package var isChosen: Bool
        /// A sentence for people.
        package var verdict: String

        private enum CodingKeys: String, CodingKey {
            case id, name, verdict
            case isChosen = "chosen"
        }

        package init(id: String, name: String, isChosen: Bool, verdict: String) {
            self.id = id
            self.name = name
            self.isChosen = isChosen
            self.verdict = verdict
        }
    }

    private enum CodingKeys: String, CodingKey {
        case shard, upload, number, chosen, verdicts
        case logIndex = "log_index"
        case decidedAt = "decided_at"
        case rulesVersion = "rules_version"
        case neededBytes = "needed_bytes"
        case isReplayedEqually = "replayed_equally"
        case inputDigest = "input_digest"
    }

    package init(
        shard: String, upload: String, number: Int, logIndex: UInt64, decidedAt: WallTime,
        rulesVersion: Int, neededBytes: UInt64, chosen: [String], verdicts: [PeerVerdict],
        inputDigest: String, isReplayedEqually: Bool? = nil
    ) {
        self.shard = shard
        self.upload = upload
        self.number = number
        self.logIndex = logIndex
        self.decidedAt = decidedAt
        self.rulesVersion = rulesVersion
        self.neededBytes = neededBytes
        self.chosen = chosen
        self.verdicts = verdicts
        self.inputDigest = inputDigest
        self.isReplayedEqually = isReplayedEqually
    }
}

/// The body of `POST /plans`: shards that somebody would like to add.
package struct PlanRequest: Equatable, Sendable, Codable {
    /// The length of each shard's file, in order.
    package var fileBytes: [UInt64]

    private enum CodingKeys: String, CodingKey {
        case fileBytes = "file_bytes"
    }

    package init(fileBytes: [UInt64]) {
        self.fileBytes = fileBytes
    }
}

/// The answer: where each of them would go if they were all there were. Nothing is reserved.
package struct PlanAnswer: Equatable, Sendable, Codable {
    /// IDs of the peers of each shard, in order.
    package var shards: [[String]]

    package init(shards: [[String]]) {
        self.shards = shards
    }
}
