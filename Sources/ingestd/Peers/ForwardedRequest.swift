import AsyncAlgorithms
import AsyncHTTPClient
import ClusterCore
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Pinset

/// A request that another peer has to answer: clients do not know which one takes their upload in.
struct ForwardedRequest {
    /// What is asked of the peer port, in front of the path that the client asked for.
    static let prefix = "/peer/api"

    /// Fields of one connection alone, and those that this peer says by itself.
    private static let ownFields: Set<String> = [
        "connection", "content-length", "transfer-encoding", "date", "server", "x-request-id",
        "expect",
        "host", "authorization",
    ]

    let request: Request
    let context: APIContext

    /// Sends it, and gives what comes back.
    func send(to peer: PeerRecord, by client: PeerClient) async throws -> Response {
        var outgoing = HTTPClientRequest(url: "")
        outgoing.method = NIOHTTP1.HTTPMethod(rawValue: request.method.rawValue)
        for field in request.headers where !Self.ownFields.contains(field.name.canonicalName) {
            outgoing.headers.add(name: field.name.rawName, value: field.value)
        }
        let answer = try await forward(outgoing, to: peer, by: client)
        var response = Response(
            status: .init(code: answer.status), body: ResponseBody(byteBuffer: answer.body))
        for (name, value) in answer.headers where !Self.ownFields.contains(name.lowercased()) {
            if let name = HTTPField.Name(name) { response.headers[name] = value }
        }
        return response
    }

    private typealias Pieces = AsyncThrowingChannel<ByteBuffer, any Error>

    /// The client asks for a body in a task of its own, which it leaves where it is when the request
    /// fails; whoever waits for a piece of the connection then would still do so when the connection
    /// goes on with the next request. So the body is read here, and no longer than this takes.
    private func forward(
        _ outgoing: HTTPClientRequest, to peer: PeerRecord, by client: PeerClient
    ) async throws -> PeerClient.Answer {
        let path = Self.prefix + (request.head.path ?? "")
        guard request.method == .patch || request.method == .post else {
            return try await client.forward(outgoing, path: path, to: peer)
        }
        context.acceptBody()
        let isWithoutBody = request.headers[.transferEncoding] == nil
        let length =
            request.headers[.contentLength].flatMap { Int64($0) } ?? (isWithoutBody ? 0 : nil)
        let pieces = Pieces()
        var outgoing = outgoing
        outgoing.body = .stream(pieces, length: length.map { .known($0) } ?? .unknown)
        return try await withThrowingTaskGroup(of: Void.self) { [outgoing] group in
            group.addTask { await readBody(into: pieces) }
            defer {
                group.cancelAll()
                pieces.finish()
            }
            return try await client.forward(outgoing, path: path, to: peer)
        }
    }

    /// A body that was cut fails; as a body alone, it would only be shorter.
    private func readBody(into pieces: Pieces) async {
        do {
            for try await piece in request.body { await pieces.send(piece) }
            guard !Task.isCancelled, await context.bodyWasWhole() else {
                throw ChannelError.inputClosed
            }
            pieces.finish()
        } catch {
            pieces.fail(error)
        }
    }
}
