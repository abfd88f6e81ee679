import ClusterCore
import HTTPTypes
import Hummingbird
import IngestAPI
import Logging
import Multiformats
import NIOCore
import NIOSSL
import Pinset
import ShardPlanner

/// Answers other peers on the peer port. TLS has made sure that they know the secret; who they are is
/// proved by their certificate and must be a member.
struct PeerResponder: HTTPResponder {
    typealias Context = APIContext

    let peer: LocalPeer
    let intake: ShardIntake
    let reader: BlockReader
    /// For who wants to join.
    let info: @Sendable () -> ClusterInfo
    /// Answers requests of clients that other peers have passed on.
    let forwarded: @Sendable (Request, RequestTarget, APIContext) async -> Response
    let log: Logger
    private let proven = ProvenPeers()

    init(
        peer: LocalPeer, intake: ShardIntake, reader: BlockReader,
        info: @escaping @Sendable () -> ClusterInfo,
        forwarded: @escaping @Sendable (Request, RequestTarget, APIContext) async -> Response,
        log: Logger
    ) {
        self.peer = peer
        self.intake = intake
        self.reader = reader
        self.info = info
        self.forwarded = forwarded
        self.log = log
    }

    func respond(to request: Request, context: APIContext) async throws -> Response {
        do {
            let caller = try await caller(on: context.channel)
            let target = try RequestTarget(request.head.path ?? "")
            if request.method == .get, target.path == Self.infoPath { return try .json(info()) }
            guard peer.isReady else {
                throw Problem(
                    .unavailable, "this peer is still starting, or was removed; try again")
            }
            if request.method == .get, target.path == Self.statePath { return try await state() }
            try await checkMembership(of: caller)
            return try await answer(request, target, context)
        } catch {
            let problem = Problem(error)
            // Who looks for a block asks around.
            let level: Logger.Level = problem.status == .notFound ? .debug : .info
            log.log(level: level, "refused a peer", metadata: ["error": "\(problem.message)"])
            return Response(
                status: problem.status,
                body: ResponseBody(byteBuffer: ByteBuffer(string: problem.message + "\n")))
        }
    }

    private func answer(
        _ request: Request, _ target: RequestTarget, _ context: APIContext
    ) async throws -> Response {
        let words = target.path.map { String(decoding: $0, as: UTF8.self) }
        switch (request.method, words.count) {
        case (.put, 5) where words[1] == "uploads" && words[3] == "shards":
            let order = try order(words, target)
            let receipt = try await intake.take(order, body: request.body)
            return try .json(receipt)
        case (.get, 2) where words[1] == "applied":
            let index = peer.driver.position.applied
            return Response(
                status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: "\(index)")))
        case (_, 3...) where words[1] == "api" && words[2] == "uploads":
            return await forwarded(request, target.dropping(2), context)
        case (.get, 3) where words[1] == "blocks":
            let block = try await block(CID(words[2]), target)
            return Response(status: .ok, body: ResponseBody(byteBuffer: block))
        default:
            throw Problem(.pathUnknown, "peers do not answer at this path")
        }
    }

    private static let infoPath = [Array("peer".utf8), Array("cluster".utf8)]
    private static let statePath = [Array("peer".utf8), Array("state".utf8)]
    private static let pieceByteCount = 1 << 20

    /// The whole state as of now. Also for who is no member yet: it cannot become one without.
    private func state() async throws -> Response {
        let file = try await peer.openSnapshot()
        let byteCount = try file.loadByteCount()
        let body = ResponseBody(contentLength: byteCount) { [workers = peer.workers] writer in
            for start in stride(from: 0, to: byteCount, by: Self.pieceByteCount) {
                let piece = try await workers.run {
                    try file.readAll(
                        count: min(Self.pieceByteCount, byteCount - start), at: start)
                }
                try await writer.write(ByteBuffer(bytes: piece))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, body: body)
    }

    /// A block of this peer, also of a root that was committed a moment ago.
    private func block(_ cid: CID, _ target: RequestTarget) async throws -> ByteBuffer {
        do {
            return try await reader.localBlock(cid)
        } catch BlockReadError.notFound {
            let index = try QueryString.parse(target.query).first { $0.name == "index" }?.value
            try await intake.catchUp(to: LogIndex(rawValue: index.flatMap { UInt64($0) } ?? 0))
            try await peer.reconciler.makeReadable()
            return try await reader.localBlock(cid)
        }
    }

    private func order(
        _ words: [String], _ target: RequestTarget
    ) throws -> ShardIntake.Request {
        let query = try QueryString.parse(target.query)
        func value(_ name: String) -> String { query.first { $0.name == name }?.value ?? "" }
        guard let upload = UploadID(words[2]), let number = Int(words[4]),
            let blockCount = Int(value("blocks")), blockCount > 0,
            let version = Int(value("version")), let index = UInt64(value("index"))
        else {
            throw Problem(
                .badParameter, "a shard comes with its upload, number, blocks, version and index")
        }
        return ShardIntake.Request(
            upload: upload, number: number, shard: try CID(value("shard")), blockCount: blockCount,
            allocationVersion: version, minimumIndex: LogIndex(rawValue: index))
    }

    private func caller(on channel: any Channel) async throws -> PeerID {
        guard let certificate = try await channel.nioSSL_peerCertificate().get() else {
            throw Problem(.forbidden, "a peer shows a certificate of its cluster")
        }
        return try proven.peer(provenBy: certificate.toDERBytes())
    }

    private func checkMembership(of caller: PeerID) async throws {
        var isMember = try await peer.driver.read { $0.peer(caller) != nil }
        if !isMember {
            // It may have joined a moment ago.
            isMember = try await peer.driver.read(.linearizable) { $0.peer(caller) != nil }
        }
        guard isMember else {
            throw Problem(.forbidden, "peer \(caller) is not a member of this cluster")
        }
    }
}
