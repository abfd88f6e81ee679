import PosixIO

/// The input buffers of all imports. An import owns two; more are hashed while it fills the next.
package typealias SlabPool = BufferPool<Slab>

extension SlabPool {
    /// Room in a slab for chunks of up to 1 MiB; longer chunks use the second half of it too.
    static var usualByteCount: Int { 2 << 20 }
    /// A carried-over tail and a whole chunk of the largest size fit together.
    static var slabByteCount: Int { 2 * usualByteCount }

    /// - Parameter spareCount: Slabs beyond the two that each import owns.
    package convenience init(spareCount: Int) {
        self.init(spareCount: spareCount) { Slab(byteCount: Self.slabByteCount) }
    }
}
