import ClusterCore
import Foundation
import ImportPipeline
import Importer
import IngestAPI
import Logging
import Pinset
import PosixIO
import ShardPlanner

/// One upload that is taken in by this peer, request after request.
///
/// A request ends the one before it, which its client has given up: connections break without a word.
actor UploadResource {
    let id: UploadID
    private let maker: UploadMaker
    private var engine: UploadEngine?
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    /// Ends what is under way.
    private var interrupt: (@Sendable () -> Void)?
    private(set) var lastUse = ContinuousClock.now

    init(id: UploadID, maker: UploadMaker, engine: UploadEngine? = nil) {
        self.id = id
        self.maker = maker
        self.engine = engine
    }

    /// Where the upload stands.
    struct Progress: Sendable {
        var offset: Int
        var length: Int?
        /// What its client has said of it.
        var metadata: String?
    }

    /// What a request that appends is to this peer, besides its body.
    struct Sender: Sendable {
        /// Takes a place among the uploads under way.
        let admit: @Sendable () throws -> UploadSlot?
        /// The body is wanted.
        let accept: @Sendable () -> Void
        /// Told after the body, whether it was that, and was not cut.
        let wasWhole: @Sendable () async -> Bool
        /// Told offsets while the body goes on.
        let acknowledged: @Sendable (Int) -> Void
        /// Ends the body.
        let interrupt: @Sendable () -> Void
    }

    /// Waits for its turn; an append under way is ended first, and what it got is acknowledged.
    ///
    /// - Parameter endsAtLength: An upload whose bytes are all here is complete: nobody will say so.
    /// - Returns: Where the upload stands, and its root if it has become complete.
    func progress(
        endsAtLength: Bool
    ) async throws -> (progress: Progress, root: ImportedEntry?) {
        try await exclusively {
            let engine = try await loaded()
            let task = Task {
                endsAtLength && engine.length == engine.offset ? try await engine.finish() : nil
            }
            let root = try await root(of: task)
            return (progress(of: engine), root)
        }
    }

    private func progress(of engine: UploadEngine) -> Progress {
        Progress(offset: engine.offset, length: engine.length, metadata: engine.opening.metadata)
    }

    /// Appends a body at an offset.
    ///
    /// - Parameters:
    ///   - offset: Where the client believes the upload to stand.
    ///   - isLast: Nothing follows; the root is made visible.
    ///   - endsAtLength: So it is when all bytes are here.
    /// - Returns: Where the upload stands now, and its root if it is complete.
    func append(
        _ body: UploadBody, at offset: Int, length: Int?, isLast: Bool, endsAtLength: Bool,
        from sender: Sender
    ) async throws -> (progress: Progress, root: ImportedEntry?) {
        try await exclusively {
            // The request before has given its own back.
            let slot = try sender.admit()
            defer { withExtendedLifetime(slot) {} }
            let engine = try await loaded()
            guard engine.offset == offset else {
                throw Problem(.offsetMismatch, at: engine.offset, insteadOf: offset)
            }
            if let length { try engine.announce(length: length) }
            sender.accept()
            interrupt = sender.interrupt
            // Those who came before there was anything to end.
            if !waiting.isEmpty { sender.interrupt() }
            nonisolated(unsafe) let body = body
            let task = Task {
                do {
                    // Whoever comes when the body has ended waits for the root.
                    defer { self.interrupt = nil }
                    try await engine.append(
                        body, wasWhole: sender.wasWhole, acknowledged: sender.acknowledged)
                }
                let isEnd = isLast || endsAtLength && engine.length == engine.offset
                return isEnd ? try await engine.finish() : nil
            }
            let root = try await root(of: task)
            return (progress(of: engine), root)
        }
    }

    /// Waits for what is done to the engine, in a task of its own: it is not to be cancelled in the middle.
    ///
    /// - Returns: The root, if there is one now; the engine is of no more use then.
    private func root(
        of task: Task<ImportedEntry?, any Error>
    ) async throws -> ImportedEntry? {
        do {
            let root = try await task.value
            if root != nil { engine = nil }
            return root
        } catch {
            await giveUp(after: error)
            throw error
        }
    }

    /// Aborts the upload.
    func abort(reason: String) async throws {
        try await exclusively {
            if let engine {
                await engine.abort(reason: reason)
            } else {
                try await maker.abort(id, reason: reason)
            }
            engine = nil
            try await maker.forget(id)
        }
    }

    /// Frees the memory of an upload that nobody uses now.
    func unload() async {
        guard !isBusy, let engine else { return }
        isBusy = true
        self.engine = nil
        await engine.suspend()
        leave()
    }

    /// Bytes that are acknowledged, while that is known without reading the journal.
    var offset: Int? { engine?.offset }

    /// How long the upload has been in memory without being used; `nil` when it is neither.
    var idleTime: Duration? {
        isBusy || engine == nil ? nil : lastUse.duration(to: .now)
    }

    private static let faultsOfContent: Set<ErrorCode> = [
        .badMultipart, .badCAR, .badPath, .severalRoots, .emptyUpload, .blockTooLarge,
        .pathConflict,
        .lengthMismatch, .contentChanged,
    ]

    var isInMemory: Bool { isBusy || engine != nil }

    // MARK: - Turns

    private func exclusively<Result: Sendable>(
        _ body: () async throws -> Result
    ) async throws -> Result {
        while isBusy {
            interrupt?()
            await withCheckedContinuation { waiting.append($0) }
        }
        isBusy = true
        defer { leave() }
        return try await body()
    }

    private func leave() {
        isBusy = false
        lastUse = .now
        if !waiting.isEmpty { waiting.removeFirst().resume() }
    }

    private func loaded() async throws -> UploadEngine {
        if let engine { return engine }
        do {
            return try await load()
        } catch  where Self.isLost(after: error) {
            // Unless this peer's state only is behind.
            try await maker.checkLog()
        }
        do {
            return try await load()
        } catch  where Self.isLost(after: error) {
            let reason = "what is needed to go on is lost: \(Problem(error).message)"
            maker.log.error("an upload ends", metadata: ["upload": "\(id)", "error": "\(reason)"])
            try await maker.abort(id, reason: reason)
            try await maker.forget(id)
            throw Problem(.uploadGone, "\(reason); send it again")
        }
    }

    private func load() async throws -> UploadEngine {
        let engine = try await maker.load(id)
        self.engine = engine
        return engine
    }

    /// Whether no attempt can ever come to where the journal ends.
    private static func isLost(after error: any Error) -> Bool {
        switch error {
        case UploadJournalError.damaged, is ImportRecordError, is UploadSessionError: true
        case let error as PosixIO.IOError: error.isNotFound
        default: false
        }
    }

    /// What is wrong with the bytes stays wrong; after anything else the upload goes on from its journal.
    private func giveUp(after error: any Error) async {
        guard let engine else { return }
        if error is UploadInterrupted { return }
        self.engine = nil
        let problem = Problem(error)
        guard Self.faultsOfContent.contains(problem.code) else { return await engine.suspend() }
        await engine.abort(reason: problem.message)
        do {
            try await maker.forget(id)
        } catch {
            maker.log.error(
                "the journal of an upload could not be removed; a restart does it",
                metadata: ["upload": "\(id)", "error": "\(error)"])
        }
    }
}
