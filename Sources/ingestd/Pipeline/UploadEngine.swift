import ClusterCore
import Foundation
import Hummingbird
import ImportPipeline
import Importer
import IngestAPI
import Logging
import NIOCore
import PosixIO
import Synchronization

/// What opened an upload, as its journal keeps it.
struct UploadOpening: Codable, Sendable {
    /// Tells of the format only whether it is a CAR.
    var query: String
    var filename: String
    /// The boundary of the form, if there is one.
    var boundary: String?
    /// What durations in the query count from.
    var openedAt: WallTime
    /// Bytes of the whole upload, if the client has said that.
    var length: Int?
    /// `Upload-Metadata` of tus, as it came.
    var metadata: String?
}

/// An upload that is taken in here, with a journal from which another process can go on.
///
/// `@unchecked Sendable`: one task at a time uses it; `UploadResource` sees to that.
final class UploadEngine: @unchecked Sendable {
    /// What is not acknowledged yet is at most this, beside what is on the wire,
    static let windowByteCount = 64 << 20
    /// and at most this old when the next bytes come.
    private static let windowDuration = Duration.seconds(5)

    let opening: UploadOpening
    private let content: any ResumableContent
    private let session: UploadSession
    private let journal: UploadJournal
    private let workers: WorkerPool
    private let log: Logger
    private let acknowledged = Atomic<Int>(0)
    /// Bytes of the whole upload, once the client has said that.
    private(set) var length: Int?
    /// The length that another engine would know of.
    private var savedLength: Int?
    private var takenByteCount = 0

    /// - Parameter journal: New, or read to its end by `replay`.
    init(
        _ opening: UploadOpening, content: any ResumableContent, session: UploadSession,
        journal: UploadJournal, workers: WorkerPool, log: Logger
    ) {
        self.opening = opening
        self.content = content
        self.session = session
        self.journal = journal
        length = opening.length
        savedLength = opening.length
        self.workers = workers
        self.log = log
    }

    /// Bytes that are durable with all that goes on from them; anybody may ask.
    var offset: Int { acknowledged.load(ordering: .relaxed) }

    /// Comes to where the journal ends.
    func replay() async throws {
        var last: UploadCheckpoint?
        while let checkpoint = try await workers.run({ [journal] in try journal.next() }) {
            try await content.replay(checkpoint.records)
            last = checkpoint
        }
        guard let last else { return }
        let reading = try JSONDecoder().decode(BodyReading.self, from: Data(last.reader))
        try await session.resume(rest: last.rest)
        try await content.resume(
            reading, tail: last.tail, contentByteCount: last.contentByteCount)
        length = reading.length
        savedLength = length
        takenByteCount = last.offset
        acknowledged.store(last.offset, ordering: .relaxed)
    }

    /// - Throws: A `Problem` when the client has said another length before, or sent more already.
    func announce(length: Int) throws {
        guard length >= offset else {
            throw Problem(
                .lengthMismatch,
                "\(offset) bytes of the upload are here, and now it was said to have \(length)")
        }
        guard self.length == nil || self.length == length else {
            throw Problem(
                .lengthMismatch,
                "the upload was said to have \(self.length ?? 0) bytes, and now \(length)")
        }
        self.length = length
    }

    /// Takes bytes until they end; all that came is acknowledged then.
    ///
    /// - Parameters:
    ///   - wasWhole: Told after the body, whether it was that.
    ///   - acknowledged: Told each offset that is acknowledged before the body has ended.
    /// - Throws: `UploadInterrupted` when the body was cut; after anything else this is of no more use.
    func append(
        _ body: UploadBody, wasWhole: () async -> Bool, acknowledged: (Int) -> Void
    ) async throws {
        var interruption: (any Error)?
        var lastCheckpoint = ContinuousClock.now
        while true {
            let piece: ByteBuffer
            do {
                guard let next = try await body.next() else { break }
                piece = next
            } catch {
                interruption = error
                break
            }
            takenByteCount += piece.readableBytes
            if let length, takenByteCount > length {
                throw Problem(
                    .lengthMismatch, "the upload was said to have \(length) bytes, and more came")
            }
            try await content.prepare()
            try await content.take(piece)
            if takenByteCount - offset >= Self.windowByteCount
                || lastCheckpoint.duration(to: .now) >= Self.windowDuration
            {
                try await checkpoint()
                acknowledged(offset)
                lastCheckpoint = .now
            }
        }
        // A length is said once.
        if takenByteCount > offset || length != savedLength { try await checkpoint() }
        guard interruption == nil, await wasWhole() else {
            throw UploadInterrupted(
                offset: offset, cause: interruption.map { "\($0)" } ?? "it ended early")
        }
    }

    /// All bytes are here: makes the root visible.
    func finish() async throws -> ImportedEntry {
        if let length, length != offset {
            throw Problem(
                .lengthMismatch,
                "the upload was said to have \(length) bytes, and to be complete after \(offset)")
        }
        let root = try await content.finish()
        try await session.commit(
            root: root.cid, contentByteCount: Int(content.contentByteCount))
        do {
            try await workers.run { [journal, offset] in try journal.close(offset: offset) }
        } catch {
            // The upload is complete all the same; a long journal tells its length as well.
            log.error(
                "the journal of a complete upload could not be shortened",
                metadata: ["upload": "\(session.id)", "error": "\(error)"])
        }
        return root
    }

    /// Leaves the upload to another engine.
    func suspend() async {
        await content.abandon()
        await session.suspend()
    }

    /// Gives the upload up.
    func abort(reason: String) async {
        await content.abandon()
        await session.abort(reason: reason)
    }

    private func checkpoint() async throws {
        let imported = try await content.checkpoint()
        let rest = try await session.checkpoint()
        var reading = content.reading
        reading.length = length
        let checkpoint = UploadCheckpoint(
            offset: takenByteCount, contentByteCount: Int(content.contentByteCount),
            records: imported.records, reader: Array(try JSONEncoder().encode(reading)),
            tail: imported.tail, rest: rest)
        try await workers.run { [journal] in try journal.append(checkpoint) }
        savedLength = reading.length
        acknowledged.store(takenByteCount, ordering: .relaxed)
    }
}

/// The body of a request for an upload did not come whole. The upload goes on from what came.
struct UploadInterrupted: Error, CustomStringConvertible {
    let offset: Int
    let cause: String

    var description: String {
        "the request's body was cut (\(cause)); go on with the upload from byte \(offset)"
    }
}
