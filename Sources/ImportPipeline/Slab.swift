import Importer
import Multiformats
import PosixIO

/// What happened, in the order of the input, while a slab was filled.
enum ImportStep: Sendable {
    case beginFile(ImportPath, EntryMetadata)
    /// Chunks of the open file, as positions in the slab's chunk list.
    case chunks(Range<Int>)
    case endFile
    case directory(ImportPath, EntryMetadata)
    case symlink(ImportPath, target: [UInt8], EntryMetadata)
}

/// A large buffer of input bytes with the chunks cut from it and the steps that use them.
///
/// Work crosses threads once per slab, not once per chunk: the importing task fills it, one worker
/// hashes all of its chunks, and the importing task then takes the steps in order.
///
/// `@unchecked Sendable`: exactly one side owns the contents at any time. The importing task owns
/// them until `submit` and again after `hashed()` returned; between the two the worker does. The
/// hand-overs go through the completion.
package final class Slab: @unchecked Sendable {
    struct Chunk {
        var offset: Int
        var byteCount: Int
    }

    /// Bytes that the worker reads from a file right before it hashes them.
    struct Fill {
        let file: FileDescriptor
        var fileOffset: Int
        var bufferOffset: Int
        var byteCount: Int
        /// Told how many bytes were read; throws when the file is no longer what it was.
        let check: @Sendable (Int) throws -> Void
    }

    let buffer: AlignedBuffer
    /// Bytes that are there, or will be once the fills are done.
    var filledByteCount = 0
    var chunks: [Chunk] = []
    var steps: [ImportStep] = []
    /// By ascending offset in the buffer.
    var fills: [Fill] = []
    private(set) var cids: [CID] = []
    private var hashing: Completion<Void>?

    init(byteCount: Int) {
        buffer = AlignedBuffer(byteCount: byteCount)
    }

    func bytes(of chunk: Chunk) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: buffer.base + chunk.offset, count: chunk.byteCount)
    }

    /// Makes the slab empty, for its next use.
    func clear() {
        filledByteCount = 0
        chunks.removeAll(keepingCapacity: true)
        steps.removeAll(keepingCapacity: true)
        fills.removeAll(keepingCapacity: true)
        cids.removeAll(keepingCapacity: true)
        hashing = nil
    }

    /// Hands the chunks to a worker. Until `hashed()` has returned, nobody else may touch the slab.
    func submit(to workers: WorkerPool, encoder: LeafEncoder, function: HashFunction) {
        hashing = workers.start { [self] in try hashChunks(encoder, function) }
    }

    /// Waits until the worker is done with the slab.
    func hashed() async throws {
        try await hashing?.value()
    }

    var isHashed: Bool { hashing?.isDone ?? false }

    private static let smallestFillByteCount = 256 << 10

    /// Does the fills as far as they lie below `end` in the buffer.
    private func fill(upTo end: Int) throws {
        while let first = fills.first, first.bufferOffset < end {
            let count = min(first.byteCount, end - first.bufferOffset)
            try first.file.readAll(
                into: UnsafeMutableRawBufferPointer(
                    start: buffer.base + first.bufferOffset, count: count),
                at: first.fileOffset)
            try first.check(count)
            if count == first.byteCount {
                fills.removeFirst()
            } else {
                fills[0].fileOffset += count
                fills[0].bufferOffset += count
                fills[0].byteCount -= count
            }
        }
    }

    private func hashChunks(_ encoder: LeafEncoder, _ function: HashFunction) throws {
        let hasher = try BlockHasher(function)
        cids.reserveCapacity(chunks.count)
        var filledEnd = 0
        try withUnsafeTemporaryAllocation(
            byteCount: LeafEncoder.maximumFrameByteCount, alignment: 8
        ) { frame in
            for chunk in chunks {
                let end = chunk.offset + chunk.byteCount
                if end > filledEnd, !fills.isEmpty {
                    // A chunk at a time, so that it is hashed while the cache still has it; small
                    // chunks in larger reads.
                    filledEnd = max(end, filledEnd + Self.smallestFillByteCount)
                    try fill(upTo: filledEnd)
                }
                let (prefix, suffix) = encoder.parts(chunkByteCount: chunk.byteCount, frame)
                cids.append(try encoder.cid(prefix, bytes(of: chunk), suffix, hasher: hasher))
            }
        }
    }
}

extension LeafEncoder {
    /// The prefix and suffix that make a block of a chunk, written to `frame`.
    func parts(
        chunkByteCount: Int, _ frame: UnsafeMutableRawBufferPointer
    ) -> (prefix: UnsafeRawBufferPointer, suffix: UnsafeRawBufferPointer) {
        let (prefixByteCount, suffixByteCount) = self.frame(
            chunkByteCount: chunkByteCount, into: frame)
        let bytes = UnsafeRawBufferPointer(frame)
        return (
            UnsafeRawBufferPointer(rebasing: bytes[..<prefixByteCount]),
            UnsafeRawBufferPointer(
                rebasing: bytes[prefixByteCount..<prefixByteCount + suffixByteCount])
        )
    }
}
