/// Bounds on a multipart body; everything the parser keeps or skips has one.
package struct MultipartLimits: Equatable, Sendable {
    /// Bytes of one part's header fields, without the empty line that ends them.
    package var headByteCount = 32 << 10
    /// Header fields of one part.
    package var headFieldCount = 64
    /// Parts in one body.
    package var partCount = 100_000_000
    /// Bytes skipped before the first boundary, and bytes skipped after the last.
    package var skippedByteCount = 64 << 10
    /// Spaces and tabs after a boundary.
    package var paddingByteCount = 256

    package init() {}
}
