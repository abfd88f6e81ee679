import Multiformats

/// File bytes wanted from one leaf block.
package struct FileLeaf: Equatable, Sendable {
    package let cid: CID

    /// Which bytes of the file are wanted from this leaf; never empty.
    package let fileRange: Range<Int>

    /// Where the wanted bytes begin among the leaf's file bytes.
    package let offsetInLeaf: Int

    /// All file bytes of the leaf, as its parent says.
    package let leafByteCount: Int

    /// Where the wanted bytes lie in the leaf's block.
    ///
    /// - Parameter block: The leaf's block, already verified against `cid`.
    /// - Throws: `malformed` when it is no leaf, `sizeMismatch` when its parent is wrong about it.
    package func wantedRange(
        in block: UnsafeRawBufferPointer
    ) throws(DAGReadError) -> Range<Int> {
        let payload: Range<Int>
        do {
            payload = try UnixFSLeaf.payloadRange(of: block, cid: cid)
        } catch {
            throw .malformed(cid, error)
        }
        guard payload.count == leafByteCount else {
            throw .sizeMismatch(cid, expected: leafByteCount, actual: payload.count)
        }
        let start = payload.lowerBound + offsetInLeaf
        return start..<start + fileRange.count
    }
}
