import ClusterCore
import HTTPTypes
import Hummingbird
import Importer
import IngestAPI
import Multiformats
import NIOCore
import Spill

/// `GET /ipfs/{cid}[/path]`: blocks, archives and the plain bytes of files, every block verified on
/// its way out.
struct ContentRoute: Sendable {
    let reader: BlockReader
    let scratch: any ScratchSpace
    let metrics: DaemonMetrics

    func respond(to request: Request, path: [[UInt8]], target: RequestTarget) async throws
        -> Response
    {
        let root = try CID(String(decoding: path[0], as: UTF8.self))
        // Ends with the last byte sent: what is unpinned meanwhile stays readable for this read.
        let lease = reader.store.beginReading()
        let query = try ContentQuery(
            QueryString.parse(target.query), accept: request.headers[.accept])
        let below = Array(path.dropFirst())
        let resolution = try await resolve(root, below)
        let etag = query.etag(of: resolution.terminal)
        var response: Response
        if let known = request.headers[.ifNoneMatch], ContentQuery.matches(etag, known) {
            response = Response(status: .notModified)
        } else {
            switch query.format {
            case .raw:
                response = try await raw(resolution.terminal, request)
            case .archive:
                response = try await archive(root, resolution, query, lease)
            case .plain:
                response = try await plain(resolution.terminal, request, lease)
            }
        }
        response.headers[.eTag] = etag
        // What a token was needed for is not for everyone (RFC 9111, section 3.5).
        let whose = request.headers[.authorization] == nil ? "public" : "private"
        response.headers[.cacheControl] = "\(whose), max-age=29030400, immutable"
        response.headers[.vary] = "Accept"
        response.headers[.init("X-Content-Type-Options")!] = "nosniff"
        response.headers[.init("X-Ipfs-Path")!] = request.head.path.map {
            String($0.prefix { $0 != "?" })
        }
        response.headers[.init("X-Ipfs-Roots")!] = "\(resolution.terminal)"
        if query.format != .plain {
            let name =
                query.fileName ?? "\(resolution.terminal).\(query.format == .raw ? "bin" : "car")"
            response.headers[.contentDisposition] = "attachment; filename=\"\(name)\""
        }
        return response
    }

    private func resolve(_ root: CID, _ path: [[UInt8]]) async throws -> PathResolver.Resolution {
        var resolver = PathResolver(root: root, path: path)
        while true {
            switch try resolver.next() {
            case .needBlock(let cid):
                let block = try await reader.block(cid)
                try block.withUnsafeReadableBytes { try resolver.supply($0, for: cid) }
            case .resolved(let resolution):
                return resolution
            }
        }
    }

    // MARK: Forms

    private func raw(_ cid: CID, _ request: Request) async throws -> Response {
        let block = try await reader.block(cid)
        let selection = try RangeSelection(request.headers[.range], byteCount: block.readableBytes)
        metrics.sent(selection.range.count)
        let bytes = block.getSlice(
            at: block.readerIndex + selection.range.lowerBound, length: selection.range.count)!
        return Response(
            status: selection.status,
            headers: selection.headers(type: "application/vnd.ipld.raw"),
            body: ResponseBody(byteBuffer: bytes))
    }

    private func archive(
        _ root: CID, _ resolution: PathResolver.Resolution, _ query: ContentQuery,
        _ lease: ReadLease
    ) async throws -> Response {
        // A missing root is an answer of its own; what is missing below ends the stream.
        if !resolution.terminal.isIdentity { _ = try await reader.block(resolution.terminal) }
        let stream = ArchiveStream(
            root: root, blocksOnTheWay: resolution.blocksOnTheWay, terminal: resolution.terminal,
            scope: query.scope, listsDuplicates: query.listsDuplicates, reader: reader,
            scratch: scratch)
        let type =
            "application/vnd.ipld.car; version=1; order=dfs; dups=\(query.listsDuplicates ? "y" : "n")"
        return Response(
            status: .ok, headers: [.contentType: type, .acceptRanges: "none"],
            body: body(SendableStream(next: Handover(stream, lease))))
    }

    private func plain(
        _ cid: CID, _ request: Request, _ lease: ReadLease
    ) async throws -> Response {
        switch try await kind(of: cid) {
        case .directory: return try directory(cid, lease)
        case .symlink(let target):
            return .text(String(decoding: target, as: UTF8.self), type: "inode/symlink")
        case .data:
            return try await raw(cid, request)
        case .file: break
        }
        var stream = try FileStream(root: cid, reader: reader)
        let byteCount = try await stream.open()
        let selection = try RangeSelection(request.headers[.range], byteCount: byteCount)
        stream.select(selection.range)
        return Response(
            status: selection.status,
            headers: selection.headers(type: "application/octet-stream"),
            body: body(
                SendableStream(next: Handover(stream, lease)), byteCount: selection.range.count))
    }

    private enum ContentKind {
        case file, directory, data
        case symlink([UInt8])
    }

    private func kind(of cid: CID) async throws -> ContentKind {
        if cid.codec == .raw { return .file }
        guard cid.codec == .dagPB else { return .data }
        let block = try await reader.block(cid)
        let node = try block.withUnsafeReadableBytes { bytes in
            do {
                return try UnixFSNode(cid: cid, block: bytes)
            } catch {
                throw Problem(.badRequest, "\(cid) is not UnixFS (\(error)); ask for format=raw")
            }
        }
        if node.isFile { return .file }
        guard node.type == .symlink else { return .directory }
        return .symlink(block.withUnsafeReadableBytes { Array($0[node.payload]) })
    }

    /// A directory's entries, one JSON object a line.
    private func directory(_ cid: CID, _ lease: ReadLease) throws -> Response {
        let stream = try DirectoryStream(root: cid, reader: reader)
        return Response(
            status: .ok, headers: [.contentType: "application/x-ndjson"],
            body: body(SendableStream(next: Handover(stream, lease))))
    }

    // MARK: Sending

    /// A body that is pulled from a stream. An error after it has begun cuts the connection, so that
    /// no reader takes a part for the whole.
    private func body(_ stream: SendableStream, byteCount: Int? = nil) -> ResponseBody {
        ResponseBody(contentLength: byteCount) { [metrics] writer in
            do {
                while let piece = try await stream.next.stream.next() {
                    metrics.sent(piece.readableBytes)
                    try await writer.write(piece)
                }
            } catch {
                if case BlockReadError.corrupt = error { metrics.foundCorruptBlock() }
                throw error
            }
            try await writer.finish(nil)
        }
    }
}

/// Something read piece by piece.
protocol ByteStream {
    mutating func next() async throws -> ByteBuffer?
}

extension FileStream: ByteStream {}
extension ArchiveStream: ByteStream {}

/// Carries a stream from the handler that opened it to the writer that sends it.
struct SendableStream: Sendable {
    let next: Handover
}

/// `@unchecked Sendable`: the handler makes it and has returned before the writer uses it.
final class Handover: @unchecked Sendable {
    var stream: any ByteStream
    private let lease: ReadLease

    init(_ stream: any ByteStream, _ lease: ReadLease) {
        self.stream = stream
        self.lease = lease
    }
}
