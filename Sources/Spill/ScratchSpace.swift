/// Bytes that can be read at any offset.
package protocol PositionedReader {
    /// Fills `bytes` from `offset` on, exactly.
    ///
    /// - Throws: When the bytes cannot be read or end before `bytes` is full.
    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws
}

/// A file that only grows, belongs to one owner and vanishes when released.
package protocol ScratchFile: AnyObject, PositionedReader {
    /// Appends all of `bytes`; they can be read back at once.
    ///
    /// - Returns: The offset of the first byte appended.
    func append(_ bytes: UnsafeRawBufferPointer) throws -> UInt64

    /// Promises that nothing more is appended, so that write buffers can be given back.
    func endAppending() throws

    /// Bytes appended so far.
    var byteCount: UInt64 { get }
}

extension ScratchFile {
    package func endAppending() throws {}
}

/// A place for files too large for memory and not worth keeping.
package protocol ScratchSpace: Sendable {
    /// Makes a new, empty file.
    func makeFile() throws -> any ScratchFile
}
