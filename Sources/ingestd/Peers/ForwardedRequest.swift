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
    let path: String
    let context: APIContext

    /// Sends it, and gives what comes back.
    func send(to peer: PeerRecord, by client: PeerClient) async throws -> Response {
        var outgoing = HTTPClientRequest(url: "")
        outgoing.method = NIOHTTP1.HTTPMethod(rawValue: request.method.rawValue)
        for field in request.headers where !Self.ownFields.contains(field.name.canonicalName) {
            outgoing.headers.add(name: field.name.rawName, value: field.value)
        }
        if request.method == .patch {
            context.acceptBody()
            let length = request.headers[.contentLength].flatMap { Int64($0) }
            outgoing.body = .stream(
                WholeBody(body: request.body, context: context),
                length: length.map { .known($0) } ?? .unknown)
        }
        let answer = try await client.forward(outgoing, path: Self.prefix + path, to: peer)
        var response = Response(
            status: .init(code: answer.status), body: ResponseBody(byteBuffer: answer.body))
        for (name, value) in answer.headers where !Self.ownFields.contains(name.lowercased()) {
            if let name = HTTPField.Name(name) { response.headers[name] = value }
        }
        return response
    }
}

/// A body that fails when it was cut; as a body alone, it would only be shorter.
private struct WholeBody: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    let body: RequestBody
    let context: APIContext

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(pieces: body.makeAsyncIterator(), context: context)
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        var pieces: RequestBody.AsyncIterator
        let context: APIContext

        mutating func next() async throws -> ByteBuffer? {
            if let piece = try await pieces.next() { return piece }
            guard await context.bodyWasWhole() else { throw ChannelError.inputClosed }
            return nil
        }
    }
}
