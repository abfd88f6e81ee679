import AsyncHTTPClient
import IngestAPI
import NIOCore

extension ServiceClient {
    /// Uploads a body while it is made.
    ///
    /// The answer is read at the same time: an error in it stops the upload.
    ///
    /// - Parameters:
    ///   - byteCount: Length of the whole body where it is known; the service then checks for room
    ///     before it takes the first byte.
    ///   - body: Not asked for more once this has returned or thrown.
    /// - Returns: The last line of the answer: the root, which is committed.
    /// - Throws: What `body` threw; otherwise `ClientError`.
    package func add(
        _ parameters: AddParameters, contentType: String, byteCount: UInt64?,
        body: any RequestBodySource
    ) async throws -> AddedOutput {
        var request = request(.POST, APIPath.add, parameters.queryItems)
        request.headers.replaceOrAdd(name: "Content-Type", value: contentType)
        return try await send(request, body, byteCount: byteCount)
    }

    /// - Returns: The last line of the answer.
    func send(
        _ request: HTTPClientRequest, _ body: any RequestBodySource, byteCount: UInt64?
    ) async throws -> AddedOutput {
        try await send(request, body, byteCount: byteCount) { response in
            var reader = AddAnswerReader(address: address)
            for try await part in response.body {
                try part.withUnsafeReadableBytes { try reader.take($0) }
            }
            return try reader.finish()
        }
    }

    /// - Parameter read: Makes something of the answer.
    func send<Answer>(
        _ request: HTTPClientRequest, _ body: any RequestBodySource, byteCount: UInt64?,
        _ read: (HTTPClientResponse) async throws -> Answer
    ) async throws -> Answer {
        let feed = RequestBodyFeed(body)
        var request = request
        request.body = .stream(
            feed, length: byteCount.map { .known(Int64($0)) } ?? .unknown)
        do {
            let answer = try await read(try await execute(request))
            await feed.stop()
            return answer
        } catch {
            await feed.stop()
            throw feed.failure ?? translated(error)
        }
    }
}
