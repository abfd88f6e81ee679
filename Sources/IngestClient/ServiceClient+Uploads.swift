import AsyncHTTPClient
import IngestAPI
import NIOHTTP1

/// Where an upload that can go on stands.
package enum UploadPosition: Equatable, Sendable {
    /// Bytes of the body that are durable.
    case open(offset: UInt64)
    case complete(root: String)
}

/// Uploads in several requests: *Resumable Uploads for HTTP*, revision 11 of the IETF's draft.
extension ServiceClient {
    /// Opens an upload.
    ///
    /// - Parameters:
    ///   - contentType: Of a form.
    ///   - byteCount: Length of the whole body, where it is known; the service checks for room.
    ///   - key: With the same one it is the same upload, however often this is called.
    /// - Returns: The upload's ID.
    package func openUpload(
        _ parameters: AddParameters, _ format: UploadParameters.Format, contentType: String?,
        byteCount: UInt64?, key: String
    ) async throws -> String {
        let format = QueryItem(name: "format", value: format.rawValue)
        var request = request(
            .POST, APIPath.uploads,
            parameters.queryItems.filter { $0.name != format.name } + [format])
        if let contentType {
            request.headers.replaceOrAdd(name: "Content-Type", value: contentType)
        }
        if let byteCount {
            request.headers.replaceOrAdd(name: "Upload-Length", value: "\(byteCount)")
        }
        request.headers.replaceOrAdd(name: "Upload-Complete", value: "?0")
        request.headers.replaceOrAdd(name: "Idempotency-Key", value: key)
        let response = try await execute(request)
        guard let id = response.headers.first(name: "Upload-ID") else {
            throw ClientError.notUnderstood(
                address: address, what: "it opened an upload without an ID")
        }
        return id
    }

    /// Where an upload stands. Ends a request for it that is under way.
    package func position(of id: String) async throws -> UploadPosition {
        let response: HTTPClientResponse
        do {
            response = try await http.execute(
                request(.HEAD, APIPath.upload(escaped(id))), timeout: .seconds(60))
        } catch {
            throw translated(error)
        }
        if response.status == .ok {
            if let root = response.headers.first(name: "Upload-Root") {
                return .complete(root: root)
            }
            if let offset = response.headers.first(name: "Upload-Offset").flatMap({ UInt64($0) }) {
                return .open(offset: offset)
            }
        }
        // An answer to HEAD has no words.
        let found = try await upload(id)
        if found.state == .committed, let root = found.root { return .complete(root: root) }
        if found.state == .aborted, let reason = found.error { throw ClientError.refused(reason) }
        throw ClientError.connectionLost(
            address: address, reason: "the upload's offset was answered with \(response.status)")
    }

    /// Sends the rest of an upload.
    ///
    /// - Parameters:
    ///   - offset: Where it stands.
    ///   - byteCount: Length of the whole body.
    ///   - body: What follows `offset`; not asked for more once this has returned or thrown.
    /// - Returns: The root, which is committed.
    /// - Throws: What `body` threw; otherwise `ClientError`.
    package func sendRest(
        of id: String, from offset: UInt64, byteCount: UInt64, body: any RequestBodySource
    ) async throws -> AddedOutput {
        try await send(
            appending(to: id, at: offset, isLast: true), body, byteCount: byteCount - offset)
    }

    /// Sends some of what an upload lacks, as long as the body is; more follows in another request.
    ///
    /// - Parameters:
    ///   - offset: Where it stands.
    ///   - body: Not asked for more once this has returned or thrown.
    /// - Throws: What `body` threw; otherwise `ClientError`.
    package func sendPart(
        of id: String, from offset: UInt64, body: any RequestBodySource
    ) async throws {
        try await send(appending(to: id, at: offset, isLast: false), body, byteCount: nil) { _ in }
    }

    private func appending(to id: String, at offset: UInt64, isLast: Bool) -> HTTPClientRequest {
        var request = request(.PATCH, APIPath.upload(escaped(id)))
        request.headers.replaceOrAdd(name: "Content-Type", value: APIField.partialUpload)
        request.headers.replaceOrAdd(name: "Upload-Offset", value: "\(offset)")
        request.headers.replaceOrAdd(name: "Upload-Complete", value: isLast ? "?1" : "?0")
        return request
    }
}
