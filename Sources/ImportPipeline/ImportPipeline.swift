import Chunker
import Importer
import Multiformats
import PosixIO
import Spill

/// Turns a stream of entries and their bytes into blocks: cuts chunks, hashes them on all cores and
/// lets the importer build the DAG in input order.
///
/// One task uses it. That task calls `prepare()` and may then hand in up to `maximumRunByteCount`
/// bytes of content and any entries between them without waiting.
package final class ImportPipeline {
    /// Content bytes that may be handed in after each `prepare()`.
    package static let maximumRunByteCount = 1 << 20
    /// Slabs that one import may have at the workers at once.
    private static let inFlightLimit = 4
    /// Steps noted in one slab before it is passed on although it has room.
    private static let stepLimit = 2048

    private let options: ImportOptions
    private let workers: WorkerPool
    private let slabs: SlabPool
    private let sink: any BlockSink
    private let finder: any ChunkBoundaryFinder
    private let leafEncoder: LeafEncoder
    private var importer: TreeImporter
    private let spool: OutputSpool

    private var current: Slab
    /// Taken over when `current` is full, so that handing in bytes never waits.
    private var next: Slab?
    private var inFlight: [Slab] = []
    private var spareCount = 0
    /// Start of the bytes of `current` that belong to no chunk yet.
    private var pendingOffset = 0
    /// Where `current` counts as full: after the last whole chunk of a fixed size, or its end.
    private var usableEnd = 0
    private var firstChunkOfStep = 0

    /// A file's first chunk while it may be its only one: with metadata, a sole leaf is the file's
    /// root and carries them, so it cannot be encoded before the file ends.
    private var heldChunk: [UInt8]?
    private var heldCID: CID?
    private var isFirstLeaf = false
    /// Prefix and suffix of the leaf that is being emitted.
    private let frame = AlignedBuffer(byteCount: LeafEncoder.maximumFrameByteCount)

    package private(set) var contentByteCount: UInt64 = 0

    /// Encoded records of what was settled since the last checkpoint; `nil` when nobody wants them.
    private var records: [UInt8]?
    /// The blocks that come out were put before, by the import that this one repeats.
    private var isReplaying = false

    package init(
        options: ImportOptions, sink: any BlockSink, scratch: any ScratchSpace,
        workers: WorkerPool, slabs: SlabPool, isRecorded: Bool = false
    ) throws {
        self.options = options
        self.sink = sink
        self.workers = workers
        self.slabs = slabs
        finder = options.chunker.makeBoundaryFinder()
        leafEncoder = LeafEncoder(options)
        let spool = OutputSpool(scratch: scratch)
        self.spool = spool
        records = isRecorded ? [] : nil
        importer = try TreeImporter(options: options, scratch: scratch, sink: spool.write)
        current = slabs.takeOwned()
        next = slabs.takeOwned()
        updateUsableEnd()
    }

    deinit {
        // Slabs still at a worker are kept alive by it, and freed when it is done.
        slabs.returnSpares(spareCount)
        guard inFlight.isEmpty else { return }
        for slab in [current, next].compactMap(\.self) {
            slab.clear()
            slabs.reuse(slab)
        }
    }

    // MARK: Input

    /// Settles what the workers have finished and makes room for `maximumRunByteCount` more bytes.
    package func prepare() async throws {
        while let oldest = inFlight.first, oldest.isHashed || inFlight.count >= Self.inFlightLimit {
            try await settleOldest()
        }
        try await makeNextSlab()
        guard current.steps.count >= Self.stepLimit else { return }
        // Entries without content fill no slab, but what is noted of them fills memory.
        try turnSlab(isFull: false)
        try await makeNextSlab()
    }

    private func makeNextSlab() async throws {
        while next == nil {
            if let spare = slabs.takeSpare() {
                spareCount += 1
                next = spare
            } else {
                try await settleOldest()
            }
        }
    }

    package func beginFile(_ path: ImportPath, _ metadata: EntryMetadata) {
        current.steps.append(.beginFile(path, metadata))
        beginFileInSlab()
    }

    /// Adds bytes to the open file.
    package func append(_ bytes: UnsafeRawBufferPointer) throws {
        contentByteCount += UInt64(bytes.count)
        var rest = bytes[...]
        while !rest.isEmpty {
            let room = usableEnd - current.filledByteCount
            if room == 0 {
                try turnSlab(isFull: true)
                continue
            }
            let run = rest.prefix(room)
            let destination = current.buffer.base + current.filledByteCount
            destination.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: run).baseAddress!, byteCount: run.count)
            current.filledByteCount += run.count
            rest = rest.dropFirst(run.count)
        }
    }

    /// Adds a file's bytes to the open file, read straight into the slabs. Waits as `prepare()` does,
    /// and ends when its task is cancelled.
    ///
    /// Where chunks have a fixed size, the worker that hashes a slab also reads it; other chunkers
    /// have to see the bytes first, so these are read here.
    ///
    /// - Parameters:
    ///   - byteCount: How long the file is; one that proves shorter is an error.
    ///   - check: Called after each read with its length, on any thread; throws when the file is no
    ///     longer what it was.
    package func appendContents(
        of file: FileDescriptor, byteCount: Int, check: @escaping @Sendable (Int) throws -> Void
    ) async throws {
        let isLeftToWorkers =
            if case .size = options.chunker.kind { byteCount >= Self.smallestFillByteCount } else {
                false
            }
        var offset = 0
        while offset < byteCount {
            let room = usableEnd - current.filledByteCount
            if room == 0 {
                try Task.checkCancellation()
                try await prepare()
                try turnSlab(isFull: true)
                continue
            }
            let count = min(room, byteCount - offset)
            let start = current.filledByteCount
            if isLeftToWorkers {
                current.fills.append(
                    .init(
                        file: file, fileOffset: offset, bufferOffset: start, byteCount: count,
                        check: check))
            } else {
                try file.readAll(
                    into: .init(start: current.buffer.base + start, count: count), at: offset)
                try check(count)
            }
            current.filledByteCount += count
            contentByteCount += UInt64(count)
            offset += count
        }
    }

    /// Files below this are read at once, so that slabs hold few of them open.
    private static let smallestFillByteCount = 256 << 10

    package func endFile() throws {
        try cutChunks(isFinal: true)
        closeChunkStep()
        current.steps.append(.endFile)
        pendingOffset = current.filledByteCount
        updateUsableEnd()
    }

    package func addDirectory(_ path: ImportPath, _ metadata: EntryMetadata) {
        current.steps.append(.directory(path, metadata))
    }

    package func addSymlink(_ path: ImportPath, target: [UInt8], _ metadata: EntryMetadata) {
        current.steps.append(.symlink(path, target: target, metadata))
    }

    /// Everything has been handed in: completes the DAG.
    ///
    /// - Returns: The root.
    package func finish() async throws -> ImportedEntry {
        submitCurrent()
        while !inFlight.isEmpty { try await settleOldest() }
        let root = try importer.finish()
        try await drainImporter()
        return root
    }

    /// Waits until no worker uses this import's memory any more; for a failed import.
    package func abandon() async {
        // The import has failed already; what its last slabs say changes nothing.
        for slab in inFlight { try? await slab.hashed() }
        inFlight = []
    }

    // MARK: Going on elsewhere

    /// Settles all that can be settled, and gives what another import needs to go on from here.
    ///
    /// - Precondition: the import is recorded, and its content is handed in by `append`.
    package func checkpoint() async throws -> ImportCheckpoint {
        try await makeNextSlab()
        try turnSlab(isFull: false)
        while !inFlight.isEmpty { try await settleOldest() }
        guard let records else { preconditionFailure("this import is not recorded") }
        self.records = []
        let tail = UnsafeRawBufferPointer(
            start: current.buffer.base, count: current.filledByteCount)
        return ImportCheckpoint(records: records, tail: (heldChunk ?? []) + Array(tail))
    }

    /// Repeats a step of an earlier import of the same options, before anything else is handed in. Blocks
    /// are announced to the sink with `putAgain`.
    package func replay(_ record: ImportRecord) async throws {
        isReplaying = true
        defer { isReplaying = false }
        switch record {
        case .beginFile(let path, let metadata): try importer.beginFile(path, metadata)
        case .leaf(let cid, let chunkByteCount):
            let (prefix, suffix) = leafEncoder.parts(chunkByteCount: chunkByteCount, frame.bytes)
            let leaf = LeafReference(
                cid: cid, blockByteCount: prefix.count + chunkByteCount + suffix.count,
                fileByteCount: chunkByteCount)
            try await repeatLeaf(leaf)
            try importer.appendLeaf(leaf)
        case .endFile: try importer.endFile()
        case .endFileOfOneLeaf(let leaf):
            try await repeatLeaf(leaf)
            try importer.endFile(.made(leaf))
        case .directory(let path, let metadata): try importer.addDirectory(path, metadata)
        case .symlink(let path, let target, let metadata):
            try importer.addSymlink(path, target: target, metadata)
        }
        if case .beginFile = record { isFirstLeaf = true } else { isFirstLeaf = false }
        try await drainImporter()
    }

    /// Goes on behind the steps that were repeated.
    ///
    /// - Parameter tail: That of the last checkpoint.
    package func resume(tail: [UInt8]) async throws {
        var rest = tail[...]
        while !rest.isEmpty {
            try await prepare()
            let run = rest.prefix(Self.maximumRunByteCount)
            try run.withUnsafeBytes { try append($0) }
            rest = rest.dropFirst(run.count)
        }
    }

    private func repeatLeaf(_ leaf: LeafReference) async throws {
        contentByteCount += UInt64(leaf.fileByteCount)
        if leaf.cid.isIdentity { return }
        try await sink.putAgain(leaf.cid, blockByteCount: leaf.blockByteCount)
    }

    private func record(_ record: ImportRecord) {
        guard records != nil else { return }
        record.append(to: &records!)
    }

    // MARK: Slabs

    private func beginFileInSlab() {
        pendingOffset = current.filledByteCount
        firstChunkOfStep = current.chunks.count
        updateUsableEnd()
    }

    private func updateUsableEnd() {
        guard case .size(let chunkByteCount) = options.chunker.kind else {
            usableEnd = max(SlabPool.usualByteCount, 2 * options.chunker.maximumChunkByteCount)
            usableEnd = min(usableEnd, current.buffer.byteCount)
            return
        }
        // Whole chunks only: a chunk that straddled two slabs would be copied. Of large ones as many as the
        // slab holds: a slab that was just begun must have room for the next file whatever one run brought.
        let isLarge = chunkByteCount > SlabPool.usualByteCount / 2
        let byteCount = isLarge ? current.buffer.byteCount : SlabPool.usualByteCount
        let chunkCount = max(0, byteCount - pendingOffset) / chunkByteCount
        usableEnd = pendingOffset + chunkCount * chunkByteCount
    }

    /// Sends the slab to the workers and goes on in the next one, which takes over the bytes behind
    /// the last chunk.
    private func turnSlab(isFull: Bool) throws {
        try cutChunks(isFinal: false)
        closeChunkStep()
        let full = current
        let tail = full.filledByteCount - pendingOffset
        guard !isFull || pendingOffset > 0 || tail == 0 else {
            throw ImportPipelineError.chunkTooLong(
                chunker: options.chunker.description, limit: full.filledByteCount)
        }
        guard let next else { preconditionFailure("more bytes than prepare() made room for") }
        if tail > 0 {
            next.buffer.base.copyMemory(from: full.buffer.base + pendingOffset, byteCount: tail)
        }
        full.filledByteCount = pendingOffset
        submitCurrent()
        current = next
        self.next = nil
        current.filledByteCount = tail
        pendingOffset = 0
        firstChunkOfStep = 0
        updateUsableEnd()
    }

    private func submitCurrent() {
        inFlight.append(current)
        current.submit(to: workers, encoder: leafEncoder, function: options.hashFunction)
    }

    private func cutChunks(isFinal: Bool) throws {
        let end = current.filledByteCount
        while pendingOffset < end {
            let window = UnsafeRawBufferPointer(
                start: current.buffer.base + pendingOffset, count: end - pendingOffset)
            guard let count = finder.firstChunkByteCount(in: window, isFinal: isFinal) else {
                return
            }
            guard count <= ChunkerSpec.chunkByteCountLimit else {
                throw ImportPipelineError.chunkTooLong(
                    chunker: options.chunker.description, limit: ChunkerSpec.chunkByteCountLimit)
            }
            current.chunks.append(.init(offset: pendingOffset, byteCount: count))
            pendingOffset += count
        }
    }

    private func closeChunkStep() {
        let end = current.chunks.count
        if firstChunkOfStep < end { current.steps.append(.chunks(firstChunkOfStep..<end)) }
        firstChunkOfStep = end
    }

    // MARK: Steps

    private func settleOldest() async throws {
        let slab = inFlight[0]
        try await slab.hashed()
        inFlight.removeFirst()
        for step in slab.steps { try await take(step, in: slab) }
        if slab === current { return }  // the last one; it goes back to the pool with this import
        slab.clear()
        if next == nil {
            next = slab
        } else {
            slabs.reuse(slab)
            if spareCount > 0 {
                spareCount -= 1
                slabs.returnSpares(1)
            }
        }
    }

    private func take(_ step: ImportStep, in slab: Slab) async throws {
        switch step {
        case .beginFile(let path, let metadata):
            try beginFileInImporter(path, metadata)
        case .chunks(let range):
            for index in range {
                try await addLeaf(slab.cids[index], slab.bytes(of: slab.chunks[index]))
            }
        case .endFile:
            record(try endFileInImporter())
        case .directory(let path, let metadata):
            try importer.addDirectory(path, metadata)
            record(.directory(path, metadata))
        case .symlink(let path, let target, let metadata):
            try importer.addSymlink(path, target: target, metadata)
            record(.symlink(path, target: target, metadata))
        }
        try await drainImporter()
    }

    private func beginFileInImporter(_ path: ImportPath, _ metadata: EntryMetadata) throws {
        try importer.beginFile(path, metadata)
        isFirstLeaf = true
        record(.beginFile(path, metadata))
    }

    private func addLeaf(_ cid: CID, _ chunk: UnsafeRawBufferPointer) async throws {
        if options.storesMetadata && isFirstLeaf {
            heldChunk = Array(chunk)
            heldCID = cid
            isFirstLeaf = false
            return
        }
        isFirstLeaf = false
        try await releaseHeldChunk()
        try await emitLeaf(cid, chunk)
    }

    private func releaseHeldChunk() async throws {
        guard let held = heldChunk, let cid = heldCID else { return }
        heldChunk = nil
        // Copied to a stable address, because emitting suspends.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: held.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: held)
        try await emitLeaf(cid, UnsafeRawBufferPointer(copy))
    }

    private func emitLeaf(_ cid: CID, _ chunk: UnsafeRawBufferPointer) async throws {
        let (prefix, suffix) = leafEncoder.parts(chunkByteCount: chunk.count, frame.bytes)
        let block = BlockBytes(prefix: prefix, payload: chunk, suffix: suffix)
        if !cid.isIdentity { try await sink.put(cid, block) }
        try importer.appendLeaf(
            LeafReference(
                cid: cid, blockByteCount: block.byteCount, fileByteCount: chunk.count))
        record(.leaf(cid, chunkByteCount: chunk.count))
        try await drainImporter()
    }

    private func endFileInImporter() throws -> ImportRecord {
        guard let held = heldChunk else {
            try importer.endFile()
            return .endFile
        }
        heldChunk = nil
        guard let leaf = try held.withUnsafeBytes({ try importer.endFile(.payload($0)) }) else {
            preconditionFailure("a payload is made a leaf")
        }
        return .endFileOfOneLeaf(leaf)
    }

    private func drainImporter() async throws {
        while let portion = try spool.takePortion() { try await emit(portion) }
        try await emit(importer.takeOutput())
    }

    private func emit(_ outputs: [ImportOutput]) async throws {
        for output in outputs {
            switch output {
            case .block(let cid, let bytes):
                if isReplaying {
                    try await sink.putAgain(cid, blockByteCount: bytes.count)
                } else {
                    try await put(cid, bytes)
                }
            case .entry(let entry):
                try await sink.entryDone(entry)
            }
        }
    }

    private func put(_ cid: CID, _ bytes: [UInt8]) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try await sink.put(cid, BlockBytes(payload: UnsafeRawBufferPointer(copy)))
    }
}

package enum ImportPipelineError: Error, CustomStringConvertible {
    case chunkTooLong(chunker: String, limit: Int)

    package var description: String {
        switch self {
        case .chunkTooLong(let chunker, let limit):
            "chunker '\(chunker)' found no boundary within \(limit) bytes, and a block may not be "
                + "longer; choose a chunker with a maximum, such as size-1048576 or buzhash"
        }
    }
}

/// What is new since the checkpoint before, and what was handed in and is settled by no record yet.
package struct ImportCheckpoint: Sendable {
    /// Encoded `ImportRecord`s, or `ArchiveRecord`s.
    package let records: [UInt8]
    /// Content of the open file behind its last settled chunk: at most two chunks. Of an archive, what is
    /// there of the block that has begun.
    package let tail: [UInt8]

    package init(records: [UInt8], tail: [UInt8]) {
        self.records = records
        self.tail = tail
    }
}
