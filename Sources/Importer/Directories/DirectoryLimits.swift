/// How much of open directories an import keeps in memory; the rest goes to scratch space.
///
/// The limits never change a block, only where entries wait for their directory to close.
package struct DirectoryLimits: Sendable, Equatable {
    /// Entries of one directory.
    package var entryCount = 65_536
    /// Bytes of one directory's entries.
    package var byteCount = 8 << 20
    /// Bytes of all open directories together.
    package var totalByteCount = 24 << 20
    /// New entries of a spilled directory are written in portions of this many bytes.
    package var spilledPortionByteCount = 512 << 10
    /// Names of spilled directories that are looked up without reading scratch space.
    package var spilledNameCount = 1 << 16
    /// Memory for sorting a spilled directory when it closes.
    package var sorterByteCount = 8 << 20

    package init() {}
}
