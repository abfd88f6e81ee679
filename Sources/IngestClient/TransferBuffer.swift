import NIOCore

/// Bytes on their way to or from the service, in the transport's own memory, so that they are not
/// copied once more at its door.
package struct TransferBuffer: Sendable {
    var storage: ByteBuffer

    /// - Parameter capacity: Bytes there is room for before the buffer has to grow.
    package init(capacity: Int) {
        storage = ByteBufferAllocator().buffer(capacity: capacity)
    }

    init(_ storage: ByteBuffer) { self.storage = storage }

    package var byteCount: Int { storage.readableBytes }

    package mutating func append(_ bytes: [UInt8]) {
        storage.writeBytes(bytes)
    }

    /// Lets `fill` write behind what is there.
    ///
    /// - Parameter fill: Gets room for `limit` bytes and returns how many it wrote.
    /// - Returns: What `fill` returned.
    package mutating func append(
        atMost limit: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Int
    ) throws -> Int {
        try storage.writeWithUnsafeMutableBytes(minimumWritableBytes: limit) { room in
            try fill(UnsafeMutableRawBufferPointer(rebasing: room[..<limit]))
        }
    }

    /// Leaves out the first bytes.
    package mutating func dropFirst(_ byteCount: Int) {
        storage.moveReaderIndex(forwardBy: byteCount)
    }

    /// Takes at most so many of the first bytes out.
    package mutating func removeFirst(atMost byteCount: Int) -> TransferBuffer {
        guard let slice = storage.readSlice(length: min(byteCount, storage.readableBytes)) else {
            preconditionFailure("as many as there are can be read")
        }
        return TransferBuffer(slice)
    }

    package func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        try storage.withUnsafeReadableBytes(body)
    }
}
