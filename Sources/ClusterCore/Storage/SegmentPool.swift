import PosixIO

/// The write buffers of all open shards. A writer owns one; more let it fill one segment while
/// others are written.
package typealias SegmentPool = BufferPool<AlignedBuffer>

extension SegmentPool {
    /// Large enough that the file system sees few, long writes.
    static var segmentByteCount: Int { 2 << 20 }

    /// - Parameter spareCount: Segments beyond the one that each writer owns.
    package convenience init(spareCount: Int) {
        self.init(spareCount: spareCount) { AlignedBuffer(byteCount: Self.segmentByteCount) }
    }
}
