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
        let feed = RequestBodyFeed(body)
        var request = request
        request.body = .stream(
            feed, length: byteCount.map { .known(Int64($0)) } ?? .unknown)
        do {
            let response = try await execute(request)
            var reader = AddAnswerReader(address: address)
            for try await part in response.body {
                try part.withUnsafeReadableBytes { try reader.take($0) }
            }
            let last = try reader.finish()
            await feed.stop()
            return last
        } catch {
            await feed.stop()
            throw feed.failure ?? translated(error)
        }
    }
}
