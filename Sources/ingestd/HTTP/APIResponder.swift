import ClusterCore
import HTTPTypes
import Hummingbird
import ImportPipeline
import IngestAPI
import Logging
import Multiformats
import NIOCore
import ShardPlanner

/// Answers every request of the API: finds the route, asks for the token, turns errors into answers.
struct APIResponder: HTTPResponder {
    typealias Context = APIContext

    private let token: String?
    private let add: AddRoute
    private let resumable: UploadsRoute
    let uploads: OpenUploads
    private let state: StateRoutes
    private let content: ContentRoute
    private let slots: UploadSlots
    private let metrics: DaemonMetrics
    private let peer: LocalPeer
    private let hasOthers: Bool
    private let log: Logger

    init(
        peer: LocalPeer, client: PeerClient?,
        whoVotes: @escaping @Sendable () async throws -> [PeerID: Bool], reader: BlockReader,
        configuration: DaemonConfiguration, slabs: SlabPool, log: Logger
    ) {
        self.peer = peer
        hasOthers = client != nil
        self.log = log
        token = configuration.token
        slots = UploadSlots(limit: configuration.maxUploads)
        metrics = DaemonMetrics()
        let maker = UploadMaker(peer: peer, client: client, slabs: slabs, log: log)
        add = AddRoute(maker: maker, slots: slots, metrics: metrics)
        uploads = OpenUploads(
            maker: maker, lease: configuration.uploadLease, metrics: metrics)
        resumable = UploadsRoute(uploads: uploads, maker: maker, slots: slots, metrics: metrics)
        state = StateRoutes(peer: peer, whoVotes: whoVotes, uploads: uploads)
        var reader = reader
        reader.whenDamaged = { [metrics, log] error in
            if case BlockReadError.corrupt = error { metrics.foundCorruptBlock() }
            log.error("a block cannot be read here", metadata: ["error": "\(error)"])
        }
        content = ContentRoute(reader: reader, scratch: peer.scratch, metrics: metrics)
    }

    func respond(to request: Request, context: APIContext) async throws -> Response {
        let start = ContinuousClock.now
        let request = Self.overridden(request)
        let requestID = Self.requestID(request.headers[.requestID])
        var route: Route?
        var response: Response
        do {
            let target = try Self.target(of: request)
            route = try Self.route(request.method, target)
            try authorize(request, for: route!)
            guard peer.isReady || !route!.needsMembership else {
                throw Problem(
                    .unavailable,
                    "this peer was removed from the cluster and is about to stop; ask another one")
            }
            response = try await respond(to: request, route!, target, context)
        } catch {
            response = failure(
                error, dialect: route == .kuboAdd ? .kubo : .cluster, path: request.head.path,
                requestID: requestID)
        }
        response.headers[.requestID] = requestID
        for field in UploadDialect.tusFields(for: request, status: response.status) {
            response.headers[field.name] = field.value
        }
        if request.method == .head { Self.removeBody(of: &response) }
        let elapsed = (ContinuousClock.now - start).components
        metrics.answered(
            method: route == nil ? "other" : request.method.rawValue,
            route: route?.label ?? "other",
            status: response.status.code,
            seconds: Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18)
        return response
    }

    /// Leaves the answer to a `HEAD`. Without a length the end of an empty body would follow it, which
    /// is no part of it. An error says 0, not the length of its text: some clients wait for that text.
    private static func removeBody(of response: inout Response) {
        guard response.status != .notModified else { return }
        let length = response.status.kind == .successful ? response.body.contentLength : 0
        response.body = ResponseBody()
        response.headers[.contentLength] = length.map(String.init)
        if length == nil { response.headers[.connection] = "close" }
    }

    private func respond(
        to request: Request, _ route: Route, _ target: RequestTarget, _ context: APIContext
    ) async throws -> Response {
        switch route {
        case .add:
            try await add.respond(to: request, target: target, context: context, dialect: .cluster)
        case .kuboAdd:
            try await add.respond(to: request, target: target, context: context, dialect: .kubo)
        case .openUpload: try await resumable.open(request, target, context)
        case .appendToUpload(let id):
            // One that is not found has not taken anything yet.
            try await fresh(isAtOnce: false) { try await resumable.append(request, id, context) }
        case .abortUpload(let id):
            try await fresh(isAtOnce: true) { try await resumable.abort(request, id, context) }
        case .uploadLimits: resumable.limits()
        case .upload(let id) where request.method == .head:
            try await fresh(isAtOnce: true) { try await resumable.describe(request, id, context) }
        case .content(let path):
            try await fresh(isAtOnce: false) {
                try await content.respond(to: request, path: path, target: target)
            }
        case .alive:
            .text("alive\n")
        case .ready:
            .text("ready\n")
        case .metrics:
            .text(
                try await metrics.text(peer: peer, activeUploadCount: slots.takenCount),
                type: "text/plain; version=0.0.4; charset=utf-8")
        case .joinPeer:
            try await Self.refuseJoin(request, context)
        case .plans:
            try await state.plan(
                Self.body(of: request, context), QueryString.parse(target.query))
        case .identity, .version, .stateDigest:
            try await state.respond(route, target)
        default:
            try await fresh(isAtOnce: request.method == .get || request.method == .head) {
                try await state.respond(route, target)
            }
        }
    }

    /// Answers a request for an upload that another peer has passed on.
    func respond(
        toForwarded request: Request, _ target: RequestTarget, context: APIContext
    ) async -> Response {
        do {
            switch Route.match(request.method, target.path).route {
            case .openUpload: return try await resumable.open(request, target, context)
            case .appendToUpload(let id): return try await resumable.append(request, id, context)
            case .abortUpload(let id): return try await resumable.abort(request, id, context)
            case .upload(let id) where request.method == .head:
                return try await resumable.describe(request, id, context)
            default:
                throw Problem(.methodNotAllowed, "peers pass on what is done to uploads alone")
            }
        } catch {
            let path = target.path.map { String(decoding: $0, as: UTF8.self) }
            var response = failure(
                error, dialect: .cluster, path: "/" + path.joined(separator: "/"),
                requestID: Self.requestID(request.headers[.requestID]))
            if request.method == .head { Self.removeBody(of: &response) }
            return response
        }
    }

    /// How long an answer waits for the log, which may not answer.
    private static let freshnessPatience = Duration.seconds(1)

    /// Answers from a state that has all that was acknowledged anywhere before: clients do not know which
    /// peer they reach. Where the log does not answer, from what is here; but nobody is told that there is
    /// no such thing.
    ///
    /// - Parameter isAtOnce: Or only when something is not found, for answers that cannot be outdated.
    private func fresh(
        isAtOnce: Bool, _ body: () async throws -> Response
    ) async throws -> Response {
        guard hasOthers else { return try await body() }
        var isFresh = false
        if isAtOnce { isFresh = await peer.catchUp(within: Self.freshnessPatience) }
        do {
            return try await body()
        } catch {
            guard !isFresh, Problem(error).status == .notFound else { throw error }
            guard await peer.catchUp(within: Self.freshnessPatience) else {
                throw Problem(
                    .unavailable,
                    "this peer knows of no such thing, but may be behind, because the log of the "
                        + "cluster does not answer; try again, or ask another peer")
            }
        }
        try await peer.reconciler.makeReadable()
        return try await body()
    }

    // MARK: Requests

    private static func target(of request: Request) throws -> RequestTarget {
        guard request.head.authority?.isEmpty == false else {
            throw Problem(.badRequest, "the request has no Host field; send one")
        }
        if let coding = request.headers[.transferEncoding], coding.lowercased() != "chunked" {
            throw Problem(
                .badRequest,
                "Transfer-Encoding '\(coding)' is not supported; send chunked or a length")
        }
        return try RequestTarget(request.head.path ?? "")
    }

    /// Clients of tus may have to say `POST` where they mean another method.
    private static func overridden(_ request: Request) -> Request {
        guard request.method == .post, request.headers[.tusResumable] != nil,
            let text = request.headers[.methodOverride], let method = HTTPRequest.Method(text),
            method == .patch || method == .delete
        else { return request }
        var head = request.head
        head.method = method
        return Request(head: head, body: request.body)
    }

    private static func route(
        _ method: HTTPRequest.Method, _ target: RequestTarget
    ) throws -> Route {
        let match = Route.match(method, target.path)
        if let route = match.route { return route }
        guard !match.allowedMethods.isEmpty else {
            throw Problem(
                .pathUnknown, "there is nothing at this path; GET /id tells who answers here")
        }
        let allowed = match.allowedMethods.map(\.rawValue).joined(separator: ", ")
        var problem = Problem(
            .methodNotAllowed, "\(method.rawValue) is not possible here; use \(allowed)")
        problem.allowedMethods = allowed
        throw problem
    }

    private func authorize(_ request: Request, for route: Route) throws {
        guard let token, route != .alive, route != .ready else { return }
        let given = request.headers[.authorization] ?? ""
        guard Self.areEqual(given, "Bearer \(token)") else {
            throw Problem(
                .unauthorized,
                given.isEmpty
                    ? "a token is needed; send Authorization: Bearer TOKEN"
                    : "the token is not the right one")
        }
    }

    /// Compares in a time that does not depend on where two texts differ.
    private static func areEqual(_ a: String, _ b: String) -> Bool {
        let (a, b) = (Array(a.utf8), Array(b.utf8))
        guard a.count == b.count else { return false }
        return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// The caller's ID when it is usable, or a new one.
    private static func requestID(_ given: String?) -> String {
        if let given, (1...64).contains(given.utf8.count),
            given.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        {
            return given
        }
        let digits = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The whole of a small body.
    private static func body(
        of request: Request, _ context: APIContext
    ) async throws -> [UInt8] {
        context.acceptBody()
        var bytes: [UInt8] = []
        for try await piece in request.body {
            bytes += Array(buffer: piece)
            guard bytes.count <= 1 << 20 else {
                throw Problem(.bodyTooLarge, "the body is longer than 1 MiB")
            }
        }
        return bytes
    }

    /// Whoever knows the secret joins by itself; what is sent is judged all the same.
    private static func refuseJoin(_ request: Request, _ context: APIContext) async throws
        -> Response
    {
        struct Join: Decodable {
            let peerID: String

            enum CodingKeys: String, CodingKey {
                case peerID = "peer_id"
            }
        }
        let join = try JSONBody.decode(Join.self, from: await body(of: request, context))
        do {
            _ = try PeerID(join.peerID)
        } catch {
            throw Problem(.badPeerID, "'\(join.peerID.prefix(80))' is not a peer ID: \(error)")
        }
        throw Problem(
            .conflict,
            "peers join by themselves: start one with the cluster's secret and the cluster's etcd"
        )
    }

    // MARK: Failures

    private func failure(
        _ error: any Error, dialect: AnswerDialect, path: String?, requestID: String
    ) -> Response {
        let problem = Problem(error)
        // No room is an answer, not a failure.
        if problem.code.status >= 500, problem.code != .noSpace {
            log.error(
                "request failed",
                metadata: ["request": "\(requestID)", "error": "\(problem.message)"])
        }
        if case BlockReadError.corrupt = error { metrics.foundCorruptBlock() }
        let shown = path.map { String($0.prefix(200)) }
        var response = Response(
            status: problem.status, headers: [.contentType: APIField.json],
            body: ResponseBody(
                byteBuffer: ByteBuffer(
                    bytes: problem.body(dialect: dialect, instance: shown, requestID: requestID))))
        if problem.code == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        if let seconds = problem.retryAfterSeconds {
            response.headers[.retryAfter] = String(seconds)
        }
        if let count = problem.rangeByteCount {
            response.headers[.contentRange] = "bytes */\(count)"
        }
        response.headers[.allow] = problem.allowedMethods
        if problem.code.isRegistered { response.headers[.contentType] = APIField.problem }
        if let offsets = problem.uploadOffsets {
            response.headers[.uploadOffset] = "\(offsets.expected)"
            response.headers[.uploadComplete] = "?0"
        }
        return response
    }
}

extension Response {
    static func text(_ text: String, type: String = "text/plain; charset=utf-8") -> Response {
        Response(
            status: .ok, headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    static func json(_ value: some Encodable) throws -> Response {
        Response(
            status: .ok, headers: [.contentType: APIField.json],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try JSONBody.encode(value) + [10])))
    }

    /// One object a line, as ipfs-cluster answers lists.
    static func lines(_ values: [some Encodable]) throws -> Response {
        var bytes: [UInt8] = []
        for value in values { bytes += try JSONBody.encode(value) + [10] }
        return Response(
            status: .ok, headers: [.contentType: APIField.jsonLines],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
