import PosixIO

/// Appends bytes to a new file in long, aligned writes that workers perform while the next segment
/// fills. One task uses it.
///
/// The file is opened for direct I/O where the file system allows it: pages of the page cache are
/// costly to fill and nobody reads them soon. The last segment is padded to the alignment and the
/// padding is cut off again when the file is finished.
final class SegmentWriter {
    /// Alignment of addresses, lengths and offsets that direct I/O asks for.
    static let alignment = 4096
    /// Disk space is asked for in runs of this length, so that a file is written into few extents
    /// whose blocks exist already.
    private static let preallocationByteCount = 32 << 20
    /// Writes of one file under way at once.
    private static let inFlightLimit = 3

    private struct Write {
        let segment: AlignedBuffer
        let completion: Completion<Void>
    }

    /// `nil` while what is in the file is counted.
    private var file: FileDescriptor?
    private let pool: SegmentPool
    private let workers: WorkerPool
    private var current: AlignedBuffer
    private var filledByteCount = 0
    /// Length of the file up to the start of `current`.
    private var writtenByteCount = 0
    private var preallocatedByteCount = 0
    /// Length of the file beyond which no disk space is asked for ahead of the writes.
    var preallocationLimit = 0
    private var inFlight: [Write] = []
    private var spareCount = 0
    /// The file's first bytes, kept so that they can be written again with what is known only at the end.
    private var head: AlignedBuffer?

    init(file: FileDescriptor?, pool: SegmentPool, workers: WorkerPool) {
        self.file = file
        self.pool = pool
        self.workers = workers
        current = pool.takeOwned()
    }

    deinit {
        pool.returnSpares(spareCount)
        if inFlight.isEmpty { pool.reuse(current) }
    }

    private var openFile: FileDescriptor {
        guard let file else { preconditionFailure("what was skipped is not gone on with yet") }
        return file
    }

    var byteCount: Int { writtenByteCount + filledByteCount }

    /// Room left in the open segment.
    var room: Int { current.byteCount - filledByteCount }

    /// The next free byte of the open segment. After filling `count` of at most `room` bytes, call
    /// `advance(count)`.
    var nextByte: UnsafeMutableRawPointer { current.base + filledByteCount }

    func advance(_ count: Int) {
        filledByteCount += count
    }

    func append(_ bytes: UnsafeRawBufferPointer) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            if room == 0 { try await turnSegment() }
            let run = UnsafeRawBufferPointer(rebasing: rest.prefix(room))
            nextByte.copyMemory(from: run.baseAddress!, byteCount: run.count)
            advance(run.count)
            rest = rest.dropFirst(run.count)
        }
    }

    /// Makes all durable that fills whole units of the alignment.
    ///
    /// - Returns: The bytes behind them.
    func flush() async throws -> [UInt8] {
        let wholeByteCount = filledByteCount / Self.alignment * Self.alignment
        let rest = Array(
            UnsafeRawBufferPointer(rebasing: current.bytes[wholeByteCount..<filledByteCount]))
        if wholeByteCount > 0 {
            filledByteCount = wholeByteCount
            try await turnSegment()
            current.bytes.copyBytes(from: rest)
            filledByteCount = rest.count
        }
        while !inFlight.isEmpty { pool.reuse(try await settleOldest()) }
        pool.returnSpares(spareCount)
        spareCount = 0
        let file = openFile
        try await workers.run { try file.synchronizeData() }
        return rest
    }

    /// Counts bytes that the file has already. Nothing may be appended before `resume`.
    func skip(_ count: Int) {
        writtenByteCount += count
    }

    /// Goes on behind the bytes that were skipped.
    ///
    /// - Parameters:
    ///   - path: The file that has them.
    ///   - rest: Those behind the last whole unit of the alignment; `nil` when the file has them, too.
    func resume(_ path: String, rest: [UInt8]?) async throws {
        let restByteCount = writtenByteCount % Self.alignment
        writtenByteCount -= restByteCount
        preallocatedByteCount = writtenByteCount
        let (current, offset) = (current, writtenByteCount)
        let head = offset > 0 ? AlignedBuffer(byteCount: Self.alignment) : nil
        file = try await workers.run {
            let file = try FileDescriptor(path, for: .update, isDirect: true)
            // Direct reads have to be aligned, too.
            let source = try FileDescriptor(path, for: .read)
            if let head { try source.readAll(into: head.bytes, at: 0) }
            if let rest {
                guard rest.count == restByteCount else { throw SegmentRestMismatch() }
                current.bytes.copyBytes(from: rest)
            } else {
                try source.readAll(
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: current.bytes[..<restByteCount]), at: offset)
            }
            return file
        }
        self.head = head
        filledByteCount = restByteCount
    }

    /// Writes what is left, puts `header` over the file's first bytes, cuts the file to its length
    /// and makes it durable.
    ///
    /// - Parameter header: At most `alignment` bytes.
    func finish(header: [UInt8]) async throws {
        precondition(header.count <= Self.alignment)
        let byteCount = byteCount
        if let head {
            head.bytes.copyBytes(from: header)
        } else {
            current.bytes.copyBytes(from: header)
        }
        try await writeCurrent()
        for write in inFlight { try await write.completion.value() }
        releaseFinishedWrites()
        let file = openFile
        let head = head
        try await workers.run {
            if let head { try file.writeAll(UnsafeRawBufferPointer(head.bytes), at: 0) }
            try file.truncate(to: byteCount)
            try file.synchronizeData()
        }
    }

    /// Waits until no worker uses the file any more.
    func abandon() async {
        // The file is about to be removed; whether its last writes failed does not matter.
        for write in inFlight { try? await write.completion.value() }
        inFlight = []
    }

    private func turnSegment() async throws {
        try await writeCurrent()
        let mustWait = inFlight.count > Self.inFlightLimit
        if !mustWait, !inFlight[0].completion.isDone, let spare = pool.takeSpare() {
            spareCount += 1
            current = spare
        } else {
            current = try await settleOldest()
        }
    }

    /// Hands the open segment to a worker. `current` must be replaced before more is appended.
    private func writeCurrent() async throws {
        guard filledByteCount > 0 else { return }
        if writtenByteCount == 0 && filledByteCount >= Self.alignment {
            let copy = AlignedBuffer(byteCount: Self.alignment)
            copy.base.copyMemory(from: current.base, byteCount: Self.alignment)
            head = copy
        }
        let padded = (filledByteCount + Self.alignment - 1) / Self.alignment * Self.alignment
        (current.base + filledByteCount).initializeMemory(
            as: UInt8.self, repeating: 0, count: padded - filledByteCount)
        let (segment, offset, file) = (current, writtenByteCount, openFile)
        let preallocation = nextPreallocation(upTo: offset + padded)
        let completion = workers.start {
            if let preallocation { try file.preallocate(preallocation) }
            let bytes = UnsafeRawBufferPointer(start: segment.base, count: padded)
            try file.writeAll(bytes, at: offset)
        }
        inFlight.append(Write(segment: segment, completion: completion))
        writtenByteCount += filledByteCount
        filledByteCount = 0
    }

    /// The run of disk space to ask for before writing up to `end`, unless it is there. A file of
    /// one segment needs none.
    private func nextPreallocation(upTo end: Int) -> Range<Int>? {
        guard end > SegmentPool.segmentByteCount, end > preallocatedByteCount else { return nil }
        let start = preallocatedByteCount
        preallocatedByteCount = max(
            end, min(end + Self.preallocationByteCount, preallocationLimit))
        return start..<preallocatedByteCount
    }

    private func settleOldest() async throws -> AlignedBuffer {
        try await inFlight[0].completion.value()
        return inFlight.removeFirst().segment
    }

    private func releaseFinishedWrites() {
        for write in inFlight where write.segment !== current { pool.reuse(write.segment) }
        inFlight = []
    }
}

/// What is to go on behind the skipped bytes is not as long as they say.
struct SegmentRestMismatch: Error, CustomStringConvertible {
    var description: String {
        "the unfinished part of a shard file has another length than its blocks say"
    }
}
