/// Decides where a chunk ends. It only looks; reading and buffering belong to the caller.
package protocol ChunkBoundaryFinder: Sendable {
    /// Length in bytes of the first chunk in `bytes`, or `nil` if more bytes are needed to tell.
    ///
    /// The answer is never `nil` once `bytes` holds `ChunkerSpec.maximumChunkByteCount` bytes, nor
    /// for the last bytes of an input. A `nil` costs a search that starts over next time, so callers
    /// wait until they have that many bytes.
    ///
    /// - Parameters:
    ///   - bytes: The input from the start of a chunk on. Bytes past the chunk are not an error.
    ///   - isFinal: Nothing follows `bytes`, so whatever remains is the last chunk. An empty final
    ///     window holds no chunk and answers `nil`.
    func firstChunkByteCount(in bytes: UnsafeRawBufferPointer, isFinal: Bool) -> Int?
}
