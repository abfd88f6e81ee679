/// Cuts every `chunkByteCount` bytes; only the last chunk is shorter.
struct FixedSizeBoundaryFinder: ChunkBoundaryFinder {
    let chunkByteCount: Int

    func firstChunkByteCount(in bytes: UnsafeRawBufferPointer, isFinal: Bool) -> Int? {
        if bytes.count >= chunkByteCount { return chunkByteCount }
        return isFinal && !bytes.isEmpty ? bytes.count : nil
    }
}
