import AsyncHTTPClient
import IngestAPI
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Calls the HTTP API of one ingestd.
///
/// Whoever makes a client calls `shutDown()` when done with it.
package final class ServiceClient: Sendable {
    /// JSON answers longer than this are refused; lists come in pages far below it.
    private static let answerByteCountLimit = 256 << 20

    let http: HTTPClient
    private let configuration: ServiceConfiguration

    package init(_ configuration: ServiceConfiguration) throws(ClientError) {
        self.configuration = configuration
        var settings = HTTPClient.Configuration(
            tlsConfiguration: try configuration.tlsConfiguration(),
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: .seconds(10), read: TimeAmount(configuration.idleTimeout),
                write: TimeAmount(configuration.idleTimeout)))
        settings.httpVersion = .http1Only
        // A service that is not there is told at once; who waits for one says for how long.
        settings.connectionPool.retryConnectionEstablishment = false
        // Uploads at once, and as many again for what is asked beside them.
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 128
        let patience = min(configuration.idleTimeout.components.seconds, 2_000_000) * 1000
        settings.http1_1ConnectionDebugInitializer = { channel in
            // Answers carry whole datasets: large receives cost a third of small ones.
            channel.setOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 256 << 10)
            ).flatMap {
                // While a body waits for room, no other timer runs: neither for a network that is gone nor for
                // a service that does not read.
                channel.setOption(
                    ChannelOptions.Types.SocketOption(
                        level: .tcp, name: .init(rawValue: TCP_USER_TIMEOUT)),
                    value: .init(patience))
            }
        }
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    /// Closes all connections.
    package func shutDown() async {
        // Only connections still in use make this fail, and those end with the process.
        try? await http.shutdown()
    }

    /// The address in use, for messages.
    package var address: String { configuration.baseURL }

    // MARK: Typed calls

    package func version() async throws -> VersionDocument { try await get(APIPath.version) }

    package func identity() async throws -> PeerDocument { try await get(APIPath.id) }

    package func peers() async throws -> [PeerDocument] { try await page(APIPath.peers).values }

    /// Ends a peer's membership.
    ///
    /// - Parameter acceptingLoss: Also if it holds shards; otherwise that is refused.
    package func removePeer(_ id: String, acceptingLoss: Bool) async throws {
        let query = acceptingLoss ? [QueryItem(name: "accept-loss", value: "true")] : []
        _ = try await call(request(.DELETE, APIPath.peer(escaped(id)), query))
    }

    /// Lets a peer get no new shards, or get some again.
    package func setDraining(_ id: String, _ isDraining: Bool) async throws {
        _ = try await call(request(isDraining ? .POST : .DELETE, APIPath.drain(escaped(id))))
    }

    /// A page of the pinned roots, and where the next one begins.
    package func pins(
        after: String? = nil, limit: Int = 1000
    ) async throws -> (values: [GlobalPinInfo], next: String?) {
        var query = [QueryItem(name: "limit", value: "\(limit)")]
        if let after { query.append(QueryItem(name: "after", value: after)) }
        return try await page(APIPath.pins, query)
    }

    /// A pin with its state on every peer.
    package func pin(_ cid: String) async throws -> GlobalPinInfo {
        try await get(APIPath.pin(of: escaped(cid)))
    }

    /// A pin as it is recorded.
    package func allocation(_ cid: String) async throws -> PinDocument {
        try await get(APIPath.allocation(of: escaped(cid)))
    }

    /// Removes a pin.
    ///
    /// - Returns: What it was.
    package func removePin(_ cid: String) async throws -> PinDocument {
        try decoded(try await call(request(.DELETE, APIPath.pin(of: escaped(cid)))).bytes)
    }

    /// The shards of all roots.
    package func shardTables() async throws -> [ShardTable] {
        try await page(APIPath.shards).values
    }

    package func shardTable(_ root: String) async throws -> ShardTable {
        try await get(APIPath.shardTable(of: escaped(root)))
    }

    /// - Parameter replaying: Decide again what was decided, on the state of then.
    package func shardWhy(_ shard: String, replaying: Bool = false) async throws -> ShardWhy {
        let query = replaying ? [QueryItem(name: "replay", value: "true")] : []
        return try decoded(
            try await call(request(.GET, APIPath.shardWhy(of: escaped(shard)), query)).bytes)
    }

    /// Where shards would go, by the lengths of their files.
    ///
    /// - Parameter query: Copies and peers asked for, as for an upload.
    package func plan(
        fileByteCounts: [Int], _ query: [QueryItem]
    ) async throws -> PlanAnswer {
        var request = request(.POST, APIPath.plans, query)
        request.body = .bytes(
            try JSONBody.encode(PlanRequest(fileBytes: fileByteCounts.map { UInt64($0) })))
        return try decoded(try await call(request).bytes)
    }

    /// Whether a peer can be stopped without anything becoming unreadable or unwritable.
    package func safeToStop(_ id: String) async throws -> SafeToStop {
        try await get(APIPath.safeToStop(escaped(id)))
    }

    package func upload(_ id: String) async throws -> UploadStatus {
        try await get(APIPath.upload(escaped(id)))
    }

    /// Uploads of all peers that are open.
    package func uploads() async throws -> [UploadStatus] { try await page(APIPath.uploads).values }

    /// Ends an upload; nothing of it stays.
    package func abortUpload(_ id: String) async throws {
        _ = try await call(request(.DELETE, APIPath.upload(escaped(id))))
    }

    // MARK: Requests

    func request(
        _ method: HTTPMethod, _ path: String, _ query: [QueryItem] = []
    ) -> HTTPClientRequest {
        let suffix = query.isEmpty ? "" : "?" + QueryString.encode(query)
        var request = HTTPClientRequest(url: configuration.baseURL + path + suffix)
        request.method = method
        if let token = configuration.token {
            request.headers.replaceOrAdd(name: "Authorization", value: "Bearer \(token)")
        }
        return request
    }

    /// Sends a request and waits for the head of the answer; any answer but success is thrown.
    func execute(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        do {
            let response = try await http.execute(request, deadline: .distantFuture)
            if [.ok, .created, .noContent].contains(response.status) { return response }
            throw try await refusal(response)
        } catch {
            throw translated(error)
        }
    }

    private func call(
        _ request: HTTPClientRequest
    ) async throws -> (bytes: [UInt8], headers: HTTPHeaders) {
        let response = try await execute(request)
        do {
            var body = try await response.body.collect(upTo: Self.answerByteCountLimit)
            return (body.readBytes(length: body.readableBytes) ?? [], response.headers)
        } catch {
            throw translated(error)
        }
    }

    private func get<Value: Decodable>(_ path: String) async throws -> Value {
        try decoded(try await call(request(.GET, path)).bytes)
    }

    private func page<Value: Decodable>(
        _ path: String, _ query: [QueryItem] = []
    ) async throws -> (values: [Value], next: String?) {
        let (bytes, headers) = try await call(request(.GET, path, query))
        let values: [Value] = try bytes.split(separator: UInt8(ascii: "\n")).map {
            try decoded(Array($0))
        }
        return (values, headers.first(name: "X-Next-After"))
    }

    private func decoded<Value: Decodable>(_ bytes: [UInt8]) throws(ClientError) -> Value {
        do {
            return try JSONBody.decode(Value.self, from: bytes)
        } catch {
            throw .notUnderstood(address: address, what: error.reason)
        }
    }

    // MARK: Failures

    private func refusal(_ response: HTTPClientResponse) async throws -> ClientError {
        var body = try await response.body.collect(upTo: 1 << 20)
        let bytes = body.readBytes(length: body.readableBytes) ?? []
        // A body in another shape means that something else answered, and the status is all we know.
        guard let document = try? JSONBody.decode(ErrorDocument.self, from: bytes) else {
            if Self.passingStatuses.contains(response.status) {
                return .connectionLost(
                    address: address, reason: "what stands before it says \(response.status)")
            }
            return .notUnderstood(address: address, what: "it has status \(response.status)")
        }
        return .refused(document)
    }

    /// What a proxy says for itself, and what may be otherwise in a moment.
    private static let passingStatuses: [HTTPResponseStatus] = [
        .requestTimeout, .custom(code: 425, reasonPhrase: ""), .tooManyRequests,
        .internalServerError, .badGateway, .serviceUnavailable, .gatewayTimeout,
    ]

    private static func shortReason(_ error: NIOSSLError) -> String {
        let text = "\(error)"
        return text.contains("CERTIFICATE_VERIFY_FAILED")
            ? "its certificate is not trusted here" : text
    }

    /// What the transport throws, in our words; other errors as they are.
    func translated(_ error: any Error) -> any Error {
        switch error {
        case is ClientError, is CancellationError:
            return error
        case let error as HTTPClientError:
            switch error {
            case .cancelled: return CancellationError()
            case .connectTimeout:
                return ClientError.unreachable(address: address, reason: "no answer for 10 s")
            case .readTimeout, .writeTimeout:
                let seconds = configuration.idleTimeout.components.seconds
                return ClientError.connectionLost(
                    address: address, reason: "nothing came for \(seconds) s")
            case .remoteConnectionClosed, .bodyLengthMismatch:
                return ClientError.connectionLost(
                    address: address, reason: "the other side closed it")
            default:
                return ClientError.connectionLost(
                    address: address, reason: error.shortDescription)
            }
        case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])):
            return ClientError.connectionLost(
                address: address, reason: "the other side closed it before it was secure")
        case let error as NIOSSLError:
            return ClientError.insecure(address: address, reason: Self.shortReason(error))
        default:
            let text = "\(error)"
            let isRefused = text.lowercased().contains("connection refused")
            if isRefused || String(describing: type(of: error)).contains("Connection") {
                return ClientError.unreachable(
                    address: address, reason: isRefused ? "nobody listens there" : text)
            }
            return ClientError.connectionLost(address: address, reason: text)
        }
    }
}
