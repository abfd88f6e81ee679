import AsyncHTTPClient
import IngestAPI
import Multiformats
import NIOCore

/// The body of an answer, piece by piece as it arrives.
package struct ContentStream {
    private var iterator: HTTPClientResponse.Body.AsyncIterator
    private let client: ServiceClient

    init(_ body: HTTPClientResponse.Body, _ client: ServiceClient) {
        iterator = body.makeAsyncIterator()
        self.client = client
    }

    /// The next piece; `nil` at the end. A connection that was cut is an error, not an end.
    package mutating func next() async throws -> TransferBuffer? {
        do {
            return try await iterator.next().map(TransferBuffer.init)
        } catch {
            throw client.translated(error)
        }
    }
}

extension ServiceClient {
    /// Blocks longer than this are no blocks of ours.
    private static let blockByteCountLimit = 2 << 20

    /// The bytes of a block as the service sends them; nothing has been verified.
    package func loadBlock(_ cid: CID) async throws -> [UInt8] {
        let query = [QueryItem(name: "format", value: "raw")]
        let response = try await execute(
            request(.GET, APIPath.content(of: cid.description), query))
        do {
            var body = try await response.body.collect(upTo: Self.blockByteCountLimit)
            return body.readBytes(length: body.readableBytes) ?? []
        } catch {
            throw translated(error)
        }
    }

    /// Opens a CAR of everything below what a path names, the directories on the way included, in
    /// depth-first order; nothing has been verified.
    ///
    /// - Parameter listsDuplicates: Whether a block that occurs again comes again.
    package func openArchive(
        _ root: CID, path: [[UInt8]], listsDuplicates: Bool
    ) async throws -> ContentStream {
        let target = ([APIPath.content(of: root.description)] + path.map(escaped))
            .joined(separator: "/")
        let query = [
            QueryItem(name: "format", value: "car"),
            QueryItem(name: "car-dups", value: listsDuplicates ? "y" : "n"),
        ]
        let response = try await execute(request(.GET, target, query))
        return ContentStream(response.body, self)
    }
}
