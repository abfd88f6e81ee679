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
final class Slab: @unchecked Sendable {
    struct Chunk {
        var offset: Int
        var byteCount: Int
    }

    let buffer: AlignedBuffer
    var filledByteCount = 0
    var chunks: [Chunk] = []
    var steps: [ImportStep] = []
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
        cids.removeAll(keepingCapacity: true)
        hashing = nil
    }

    /// Hands the chunks to a worker. Until `hashed()` has returned, nobody else may touch the slab.
    ///
    /// - Parameter fill: Reads the chunks' bytes into the buffer first, on the worker.
    func submit(
        to workers: WorkerPool, encoder: LeafEncoder, function: HashFunction,
        fill: (@Sendable (Slab) throws -> Void)? = nil
    ) {
        hashing = workers.start { [self] in
            try fill?(self)
            try hashChunks(encoder, function)
        }
    }

    /// Waits until the worker is done with the slab.
    func hashed() async throws {
        try await hashing?.value()
    }

    var isHashed: Bool { hashing?.isDone ?? false }

    private func hashChunks(_ encoder: LeafEncoder, _ function: HashFunction) throws {
        let hasher = try BlockHasher(function)
        cids.reserveCapacity(chunks.count)
        try withUnsafeTemporaryAllocation(
            byteCount: LeafEncoder.maximumFrameByteCount, alignment: 8
        ) { frame in
            for chunk in chunks {
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
