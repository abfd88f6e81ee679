import Importer
import Multiformats

/// The bytes of one block as up to three runs, in order. Leaf blocks are not contiguous in memory:
/// the chunk stays where it was received and its UnixFS frame is encoded beside it.
package struct BlockBytes {
    package let prefix: UnsafeRawBufferPointer
    package let payload: UnsafeRawBufferPointer
    package let suffix: UnsafeRawBufferPointer

    package init(
        prefix: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        payload: UnsafeRawBufferPointer,
        suffix: UnsafeRawBufferPointer = .init(start: nil, count: 0)
    ) {
        self.prefix = prefix
        self.payload = payload
        self.suffix = suffix
    }

    package var byteCount: Int { prefix.count + payload.count + suffix.count }

    /// Copies the block to `destination`, which has room for `byteCount` bytes.
    package func copy(to destination: UnsafeMutableRawPointer) {
        var next = destination
        for part in [prefix, payload, suffix] where !part.isEmpty {
            next.copyMemory(from: part.baseAddress!, byteCount: part.count)
            next += part.count
        }
    }
}

/// Where an import's blocks and entries go, in emission order.
package protocol BlockSink: AnyObject {
    /// Takes one block that needs storage (never one with an identity CID). The same block may come
    /// more than once.
    ///
    /// - Parameter block: Valid until the call returns.
    func put(_ cid: CID, _ block: BlockBytes) async throws

    /// A block that was put before, at the same place among all others, by an import that is repeated.
    func putAgain(_ cid: CID, blockByteCount: Int) async throws

    /// A file, symlink or directory is complete.
    func entryDone(_ entry: ImportedEntry) async throws
}

extension BlockSink {
    package func putAgain(_ cid: CID, blockByteCount: Int) async throws {
        preconditionFailure("no import is repeated into this sink")
    }
}
