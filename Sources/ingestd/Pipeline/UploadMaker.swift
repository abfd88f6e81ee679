import ClusterCore
import Foundation
import ImportPipeline
import Importer
import IngestAPI
import Logging
import Multiformats
import Pinset
import PosixIO
import ShardPlanner

/// An upload whose root is visible.
struct CompleteUpload: Sendable {
    let root: CID
    /// Bytes of its body.
    let length: Int
    /// What its client has said of it.
    let metadata: String?
}

/// Begins uploads, and goes on with those that have a journal.
struct UploadMaker: Sendable {
    let peer: LocalPeer
    /// `nil` where there are no other peers.
    let client: PeerClient?
    let slabs: SlabPool
    let log: Logger

    /// What the state is told of an upload.
    func options(
        _ parameters: AddParameters, expectedByteCount: Int?
    ) throws -> UploadOptions {
        let pin = parameters.pin
        return UploadOptions(
            name: pin.name, policy: try AllocationPolicy(pin),
            shardLimitByteCount: parameters.shardByteLimit, coordinator: peer.id,
            expireAt: pin.expireAt.map { LogTime($0) }, metadata: PinMetadata(pin.metadata),
            origins: pin.origins,
            expectedByteCount: expectedByteCount)
    }

    /// Turns the content of an upload into blocks for its session.
    ///
    /// - Parameter isRecorded: Its steps are kept, so that they can be repeated.
    func makePipeline(
        _ options: ImportOptions, _ session: UploadSession, isRecorded: Bool = false
    ) throws -> ImportPipeline {
        try ImportPipeline(
            options: options, sink: session, scratch: peer.scratch, workers: peer.workers,
            slabs: slabs, isRecorded: isRecorded)
    }

    /// Takes in the blocks of an archive for the session of its upload.
    func makeArchiveImport(_ session: UploadSession, isRecorded: Bool = false) -> ArchiveImport {
        ArchiveImport(sink: session, scratch: peer.scratch, isRecorded: isRecorded)
    }

    // MARK: - Uploads that can go on

    /// Opens an upload.
    func open(_ id: UploadID, _ opening: UploadOpening) async throws -> UploadEngine {
        let bytes = Array(try JSONEncoder().encode(opening))
        let journal = try await peer.workers.run { [journals = peer.journals] in
            try journals.create(id, opening: bytes)
        }
        do {
            return try await makeEngine(id, opening, journal, isResumed: false)
        } catch {
            try await forget(id)
            throw error
        }
    }

    /// Comes to where the journal of an upload ends.
    func load(_ id: UploadID) async throws -> UploadEngine {
        try await checkIsOpen(id)
        guard peer.journals.uploads.contains(id) else {
            throw Problem(
                .conflict,
                "upload \(id) is a single request, which cannot be gone on with; GET tells how it is doing"
            )
        }
        let journal = try await peer.workers.run { [path = peer.journals.path(of: id)] in
            try UploadJournal.open(path)
        }
        let engine = try await makeEngine(
            id, Self.opening(journal.opening), journal, isResumed: true)
        do {
            try await engine.replay()
        } catch {
            await engine.suspend()
            throw error
        }
        return engine
    }

    enum State: Sendable {
        /// Nothing has been sent for this long.
        case open(untouched: Duration)
        /// Its end is remembered.
        case ended
        case forgotten
    }

    /// What the state knows of an upload.
    func record(of id: UploadID) async throws -> UploadRecord? {
        try await peer.driver.read { $0.upload(id) }
    }

    /// Whether an upload came, or comes, as one request, which cannot be gone on with.
    func isSingleRequest(_ id: UploadID) async throws -> Bool {
        switch try await record(of: id)?.phase {
        case .open, .committed: !peer.journals.uploads.contains(id)
        case .aborted, nil: false
        }
    }

    /// How an upload with a journal is doing.
    func state(of id: UploadID) async throws -> State {
        guard let record = try await record(of: id) else { return .forgotten }
        switch record.phase {
        case .aborted: return .forgotten
        case .committed: return .ended
        case .open: break
        }
        return .open(untouched: .seconds(try await untouchedSeconds(id)))
    }

    /// How long nothing has been sent for an upload with a journal.
    func untouchedSeconds(_ id: UploadID) async throws -> Int64 {
        let status = try await peer.workers.run { [path = peer.journals.path(of: id)] in
            try FileSystem.loadStatus(path)
        }
        let now = LogTime.wallClock().millisecondsSinceEpoch / 1000
        return max(0, Int64(now) - (status?.modifiedSeconds ?? 0))
    }

    /// What is known of an upload that has been complete.
    func completed(_ id: UploadID) async throws -> CompleteUpload? {
        guard case .committed(let root, _) = try await record(of: id)?.phase,
            peer.journals.uploads.contains(id)
        else { return nil }
        let end = try await peer.workers.run { [path = peer.journals.path(of: id)] in
            try UploadJournal.loadEnd(path)
        }
        return CompleteUpload(
            root: root, length: end.offset, metadata: try Self.opening(end.opening).metadata)
    }

    private static func opening(_ bytes: [UInt8]) throws -> UploadOpening {
        try JSONDecoder().decode(UploadOpening.self, from: Data(bytes))
    }

    /// Removes what an upload that has ended has left here.
    func forget(_ id: UploadID) async throws {
        try await peer.workers.run { [journals = peer.journals, store = peer.store] in
            try store.staging.remove(upload: id.description)
            try journals.remove(id)
        }
        peer.uploadEnded(id)
    }

    /// Ends an upload whose journal is of no use.
    func abort(_ id: UploadID, reason: String) async throws {
        try await checkIsOpen(id)
        try await peer.perform(.abortUpload(id, reason: reason))
    }

    /// - Throws: What has become of the upload otherwise.
    private func checkIsOpen(_ id: UploadID) async throws {
        guard let record = try await record(of: id) else {
            throw Problem(.uploadNotFound, "there is no upload \(id), or it ended long ago")
        }
        switch record.phase {
        case .committed(let root, _):
            throw Problem(.uploadComplete, "upload \(id) is complete; its root is \(root)")
        case .aborted(let reason, _):
            throw Problem(.uploadGone, "upload \(id) was aborted: \(reason)")
        case .open: break
        }
        guard record.options.coordinator == peer.id else {
            throw Problem(
                .unavailable,
                "peer \(record.options.coordinator) takes upload \(id) in; send its requests there")
        }
    }

    private func makeEngine(
        _ id: UploadID, _ opening: UploadOpening, _ journal: UploadJournal, isResumed: Bool
    ) async throws -> UploadEngine {
        let parameters = try AddParameters(
            parsing: QueryString.parse(opening.query), now: opening.openedAt)
        let session = try await UploadSession(
            peer: peer, client: client, id: id,
            options: try options(parameters, expectedByteCount: opening.length),
            isResumable: true, isResumed: isResumed, log: log, report: { _, _ in })
        do {
            return UploadEngine(
                opening, content: try makeContent(parameters, opening, session), session: session,
                journal: journal, workers: peer.workers, log: log)
        } catch {
            if isResumed {
                await session.suspend()
            } else {
                await session.abort(reason: "\(error)")
            }
            throw error
        }
    }

    private func makeContent(
        _ parameters: AddParameters, _ opening: UploadOpening, _ session: UploadSession
    ) throws -> any ResumableContent {
        if parameters.format == .car {
            return RawArchiveContent(archive: makeArchiveImport(session, isRecorded: true))
        }
        let pipeline = try makePipeline(
            try parameters.importOptions(), session, isRecorded: true)
        guard let boundary = opening.boundary else {
            return try RawFileContent(name: opening.filename, pipeline: pipeline)
        }
        return FileTreeContent(
            boundary: try MultipartBoundary(Array(boundary.utf8)), pipeline: pipeline)
    }
}
