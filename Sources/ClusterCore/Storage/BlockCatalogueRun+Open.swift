import Glibc
import PosixIO
import Spill

extension BlockCatalogueRun {
    /// Opens a run and reads it through once.
    ///
    /// - Returns: `nil` if it is damaged, cut, unreadable or of another version.
    /// - Throws: When the file cannot be opened, which says nothing about its contents.
    static func open(_ path: String, sequence: UInt64) throws(IOError) -> BlockCatalogueRun? {
        let file = try FileDescriptor(path, for: .read)
        do throws(IOError) {
            return try check(file, sequence: sequence)
        } catch {
            switch error.cause {
            case .endOfFile, .system(EIO): return nil
            default: throw error
            }
        }
    }

    private static func check(
        _ file: FileDescriptor, sequence: UInt64
    ) throws(IOError) -> BlockCatalogueRun? {
        let byteCount = try file.loadByteCount()
        guard byteCount >= headerByteCount,
            let header = BlockCatalogueHeader(
                decoding: try file.readAll(count: headerByteCount, at: 0)),
            header.entryCount <= UInt64(byteCount),
            byteCount == headerByteCount + Int(header.entryCount) * layout.entryByteCount
                + Int(header.shardCount) * shardByteCount
        else { return nil }

        var hash = XXH64()
        var run = SortedRunBuilder(
            layout: layout, expectedEntryCount: Int(header.entryCount),
            byteOffset: UInt64(headerByteCount))
        let entriesEnd = headerByteCount + Int(header.entryCount) * layout.entryByteCount
        // A multiple of an entry's and of a checksum stripe's width.
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 96 * 2048, alignment: 16)
        defer { piece.deallocate() }
        var shards: [UInt8] = []
        var offset = headerByteCount
        while offset < byteCount {
            let count = min(piece.count, byteCount - offset)
            let bytes = UnsafeMutableRawBufferPointer(rebasing: piece[..<count])
            try file.readAll(into: bytes, at: offset)
            hash.update(UnsafeRawBufferPointer(bytes))
            let entryByteCount = min(count, max(0, entriesEnd - offset))
            for position in stride(from: 0, to: entryByteCount, by: layout.entryByteCount) {
                run.add(UnsafeRawPointer(bytes.baseAddress! + position))
            }
            shards.append(contentsOf: bytes[entryByteCount...])
            offset += count
        }
        guard hash.finish() == header.checksum else { return nil }
        let (serials, entryCounts) = decodeShards(shards)
        return BlockCatalogueRun(
            path: file.path, sequence: sequence, file: file, run: run.makeRun(), serials: serials,
            entryCounts: entryCounts)
    }

    private static func decodeShards(_ bytes: [UInt8]) -> ([UInt32], [UInt32]) {
        let numbers = bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map {
                UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
            }
        }
        let pairs = stride(from: 0, to: numbers.count, by: 2)
        return (pairs.map { numbers[$0] }, pairs.map { numbers[$0 + 1] })
    }
}
