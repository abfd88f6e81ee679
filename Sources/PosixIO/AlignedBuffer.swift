import Glibc

/// Memory at an address that is a multiple of 4096, as direct I/O asks for; zeros at first.
///
/// Its pages come from the system at their first use and go back when it is released. That first
/// use is costly, so whoever needs buffers again and again keeps them.
///
/// `@unchecked Sendable`: raw memory that is handed from one owner to the next. Whoever holds the
/// buffer sees to it that nobody else writes to it meanwhile.
package final class AlignedBuffer: @unchecked Sendable {
    /// Valid as long as this object is.
    package let base: UnsafeMutableRawPointer
    package let byteCount: Int

    private static let hugePageByteCount = 2 << 20

    /// - Parameter byteCount: At least 1.
    package init(byteCount: Int) {
        precondition(byteCount > 0, "an empty buffer has no address")
        let memory = mmap(
            nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            fatalError("no memory for a buffer of \(byteCount) bytes")
        }
        // Fewer, larger pages are cheaper to make, to look up and to pin for direct I/O. Where the
        // system has none to give, ordinary ones serve as well.
        if byteCount >= Self.hugePageByteCount { madvise(memory, byteCount, MADV_HUGEPAGE) }
        base = memory
        self.byteCount = byteCount
    }

    deinit { munmap(base, byteCount) }

    package var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base, count: byteCount)
    }
}
