import AsyncHTTPClient
import Foundation
import Multiformats
import NIOCore
import NIOHTTP1
import Pinset
import PosixIO
import ShardPlanner
import Synchronization

/// A shard on its way to peers.
package struct OutgoingShard: Sendable {
    package let upload: UploadID
    package let number: Int
    package let description: ShardDescription
    package let file: ShardFile

    package init(
        upload: UploadID, number: Int, description: ShardDescription, file: ShardFile
    ) {
        self.upload = upload
        self.number = number
        self.description = description
        self.file = file
    }
}

/// Calls other peers on their peer ports.
///
/// Each peer has connections of its own, on which its certificate must name that very peer.
package final class PeerClient: Sendable {
    private struct Line {
        let address: String
        let calling: HTTPClient
        /// For what a peer has to prepare for long.
        let waiting: HTTPClient
        /// For requests that were passed on: without limits to how long nothing comes.
        let forwarding: HTTPClient

        func shutdown() {
            for http in [calling, waiting, forwarding] { http.shutdown { _ in } }
        }
    }

    /// A transfer may take this long, plus a second for each mebibyte.
    private static let patience = Duration.seconds(30)
    private static let answerByteCountLimit = 1 << 20

    private let credentials: PeerCredentials
    private let workers: WorkerPool
    private let lines = Mutex<[PeerID: Line]>([:])
    private let silent = Mutex(SilentPeers())

    package init(credentials: PeerCredentials, workers: WorkerPool) {
        self.credentials = credentials
        self.workers = workers
    }

    deinit {
        // Nobody waits for it: only calls under way could make it fail, and they keep this alive.
        for line in lines.withLock({ $0.values }) { line.shutdown() }
    }

    /// Whether a peer kept somebody waiting in vain a moment ago: better ask another one first.
    package func isSilent(_ peer: PeerID) -> Bool {
        silent.withLock { $0.contains(peer, at: .now) }
    }

    /// Sends a shard, and waits until it is durable there.
    package func put(
        _ shard: OutgoingShard, allocationVersion: Int, minimumIndex: LogIndex, on peer: PeerRecord
    ) async throws -> Receipt {
        let cid = shard.description.cid
        let path =
            "/peer/uploads/\(shard.upload)/shards/\(shard.number)?shard=\(cid)"
            + "&blocks=\(shard.description.blockCount)&version=\(allocationVersion)"
            + "&index=\(minimumIndex)"
        let range = shard.file.payloadRange
        let seconds = Int64(range.count >> 20)
        let body = HTTPClientRequest.Body.stream(
            ShardPieces(shard: shard.file, workers: workers),
            length: .known(Int64(range.count)))
        let bytes = try await call(
            .PUT, path, on: peer, body: body, timeout: Self.patience + .seconds(seconds),
            limit: Self.answerByteCountLimit)
        let receipt: SignedReceipt
        do {
            receipt = try JSONDecoder().decode(
                SignedReceipt.self, from: Data(bytes.readableBytesView))
        } catch {
            throw PeerError.badReceipt(peer.peer, "it cannot be read: \(error)")
        }
        return try receipt.verified(
            shard: cid, upload: shard.upload, number: shard.number, from: peer.peer)
    }

    /// A block as the peer has it, not verified; `nil` when it has none.
    ///
    /// - Parameter minimumIndex: What the peer must have applied before it says that it has none.
    package func block(
        _ cid: CID, minimumIndex: LogIndex, limit: Int, from peer: PeerRecord
    ) async throws -> ByteBuffer? {
        do {
            return try await call(
                .GET, "/peer/blocks/\(cid)?index=\(minimumIndex)", on: peer,
                timeout: Self.patience, limit: limit)
        } catch PeerError.refused(_, 404, _) {
            return nil
        }
    }

    /// What the peer has applied and saved of the log.
    func appliedIndex(of peer: PeerRecord) async throws -> LogIndex {
        let bytes = try await call(
            .GET, "/peer/applied", on: peer, timeout: Self.patience, limit: 64)
        guard let number = UInt64(String(buffer: bytes)) else {
            throw PeerError.refused(peer.peer, status: 200, message: "its answer is no index")
        }
        return LogIndex(rawValue: number)
    }

    /// A transfer of a whole state may take this long.
    private static let statePatience = Duration.seconds(3600)

    /// Brings the state of a peer, as the lines of a snapshot, into a new file. The snapshot is not
    /// checked.
    func saveState(of peer: PeerID, at address: String, to path: String) async throws {
        try await stream(
            .GET, "/peer/state", on: peer, at: address, timeout: Self.statePatience, mayPause: true
        ) { body in
            let file = try FileDescriptor(path, for: .create, permissions: 0o600)
            var position = 0
            for try await piece in body {
                let bytes = Array(buffer: piece)
                try await workers.run { [position] in try file.writeAll(bytes, at: position) }
                position += bytes.count
            }
            try await workers.run { try file.synchronize() }
        }
    }

    /// What the peer at an address tells of its cluster, for who does not know yet which peer it is. That
    /// it knows the secret is certain.
    package func clusterInfo(at address: String) async throws -> ClusterInfo {
        var settings = HTTPClient.Configuration()
        settings.tlsConfiguration = credentials.clientConfiguration
        settings.tlsConfiguration?.certificateVerification = .noHostnameVerification
        settings.httpVersion = .http1Only
        settings.redirectConfiguration = .disallow
        settings.timeout = .init(connect: .seconds(3))
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        defer { http.shutdown { _ in } }
        do {
            let response = try await http.execute(
                HTTPClientRequest(url: "https://\(address)/peer/cluster"), timeout: .seconds(10))
            let bytes = try await response.body.collect(upTo: Self.answerByteCountLimit)
            guard response.status == .ok else {
                throw PeerError.notJoined(
                    address, cause: "\(response.status.code) \(String(buffer: bytes))")
            }
            return try JSONDecoder().decode(ClusterInfo.self, from: Data(bytes.readableBytesView))
        } catch let error as PeerError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw PeerError.notJoined(address, cause: String(describing: error))
        }
    }

    /// What a peer answers to a request that was passed on.
    package struct Answer: Sendable {
        package let status: Int
        package let headers: HTTPHeaders
        /// At most a mebibyte.
        package let body: ByteBuffer
    }

    /// Passes a client's request on to another peer.
    ///
    /// - Returns: Its answer, whatever it is.
    package func forward(
        _ request: HTTPClientRequest, path: String, to peer: PeerRecord
    ) async throws -> Answer {
        guard let address = peer.addresses.first else { throw PeerError.noAddress(peer.peer) }
        let (line, base) = try route(to: peer.peer, at: address)
        var request = request
        request.url = base + path
        do {
            let response = try await line.forwarding.execute(
                request, timeout: TimeAmount(Self.forwardPatience))
            let body =
                response.status.code < 300
                ? try await response.body.collect(upTo: Self.answerByteCountLimit)
                : await Self.refusal(response)
            return Answer(
                status: Int(response.status.code), headers: response.headers, body: body)
        } catch {
            throw PeerError.unreachable(peer.peer, cause: String(describing: error))
        }
    }

    /// A client may take this long for one request.
    private static let forwardPatience = Duration.seconds(86_400)

    // MARK: Calls

    private func call(
        _ method: HTTPMethod, _ path: String, on peer: PeerRecord,
        body: HTTPClientRequest.Body? = nil, timeout: Duration, limit: Int
    ) async throws -> ByteBuffer {
        guard let address = peer.addresses.first else { throw PeerError.noAddress(peer.peer) }
        return try await stream(
            method, path, on: peer.peer, at: address, body: body, timeout: timeout
        ) { try await $0.collect(upTo: limit) }
    }

    /// - Parameters:
    ///   - mayPause: The peer has much to do before it answers.
    ///   - take: Reads the answer, unless it is a refusal.
    private func stream<Result>(
        _ method: HTTPMethod, _ path: String, on peer: PeerID, at address: String,
        body: HTTPClientRequest.Body? = nil, timeout: Duration, mayPause: Bool = false,
        take: (HTTPClientResponse.Body) async throws -> Result
    ) async throws -> Result {
        let (line, base) = try route(to: peer, at: address)
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        request.body = body
        do {
            let response = try await (mayPause ? line.waiting : line.calling)
                .execute(request, timeout: TimeAmount(timeout))
            silent.withLock { $0.remove(peer) }
            guard response.status == .ok else {
                throw PeerError.refused(
                    peer, status: Int(response.status.code),
                    message: String(buffer: await Self.refusal(response))
                        .trimmingCharacters(in: .whitespacesAndNewlines))
            }
            return try await take(response.body)
        } catch let error as PeerError {
            throw error
        } catch let error as PosixIO.IOError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            if SilentPeers.isSilence(error) { silent.withLock { $0.insert(peer, at: .now) } }
            throw PeerError.unreachable(peer, cause: String(describing: error))
        }
    }

    /// What a refusal says. Its end may lack: see `EarlyRefusalHandler`.
    private static func refusal(_ response: HTTPClientResponse) async -> ByteBuffer {
        var bytes = ByteBuffer()
        do {
            for try await var part in response.body
            where bytes.readableBytes + part.readableBytes <= answerByteCountLimit {
                bytes.writeBuffer(&part)
            }
        } catch {
            // The connection was ended on purpose, or by what the status tells of.
        }
        return bytes
    }

    /// The connections to a peer, and what its URLs begin with.
    private func route(to peer: PeerID, at address: String) throws -> (Line, base: String) {
        guard let colon = address.lastIndex(of: ":") else { throw PeerError.noAddress(peer) }
        let port = address[address.index(after: colon)...]
        return (
            line(to: peer, at: address, host: String(address[..<colon])),
            "https://\(PeerCredentials.serverName(of: peer)):\(port)"
        )
    }

    /// The connections to a peer; new ones when it has moved.
    private func line(to peer: PeerID, at address: String, host: String) -> Line {
        let (line, old) = lines.withLock { lines -> (Line, Line?) in
            let known = lines[peer]
            if let known, known.address == address { return (known, nil) }
            var settings = HTTPClient.Configuration()
            settings.tlsConfiguration = credentials.clientConfiguration
            // The certificate names the peer, whatever the address is.
            settings.dnsOverride = [PeerCredentials.serverName(of: peer): host]
            settings.httpVersion = .http1Only
            settings.redirectConfiguration = .disallow
            settings.timeout = .init(connect: .seconds(2))
            // More than all uploads and reads take at once: what waited for a connection would fail as if
            // the peer did not answer.
            settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4096
            settings.connectionPool.retryConnectionEstablishment = false
            settings.http1_1ConnectionDebugInitializer = { channel in
                ConnectionSilence.notice(on: channel).flatMap {
                    EarlyRefusalHandler.add(to: channel)
                }
            }
            // How long a client of ours pauses is its own affair.
            let forwarding = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
            // A peer that lost power says nothing more.
            settings.timeout.read = .seconds(30)
            settings.timeout.write = .seconds(30)
            let calling = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
            settings.timeout.read = .minutes(10)
            let waiting = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
            let line = Line(
                address: address, calling: calling, waiting: waiting, forwarding: forwarding)
            lines[peer] = line
            return (line, known)
        }
        old?.shutdown()
        return line
    }
}

/// The CARv1 of a shard in pieces, each read on a worker when it is asked for.
private struct ShardPieces: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    let shard: ShardFile
    let workers: WorkerPool

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(shard: shard, workers: workers) }

    struct AsyncIterator: AsyncIteratorProtocol {
        private let reader: ShardFileReader
        private let workers: WorkerPool
        private var rest: Range<Int>

        init(shard: ShardFile, workers: WorkerPool) {
            reader = shard.makeReader()
            self.workers = workers
            rest = shard.payloadRange
        }

        mutating func next() async throws -> ByteBuffer? {
            guard !rest.isEmpty else { return nil }
            let piece = rest.prefix(ShardFileReader.pieceByteCount)
            rest = piece.upperBound..<rest.upperBound
            return try await workers.run { [reader] in
                ByteBuffer(bytes: try reader.read(piece))
            }
        }
    }
}
