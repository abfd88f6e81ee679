import Glibc
import PosixIO
import Spill

extension BlockCatalogueRun {
    /// Opens a run and reads it through once.
    ///
    /// - Parameter filterByteCount: Memory left for filters.
    /// - Returns: `nil` if it is damaged, cut, unreadable or of another version.
    /// - Throws: When the file cannot be opened, which says nothing about its contents.
    static func open(
        _ path: String, sequence: UInt64, filterByteCount: Int
    ) throws(IOError) -> BlockCatalogueRun? {
        let file = try FileDescriptor(path, for: .read)
        do throws(IOError) {
            return try check(file, sequence: sequence, filterByteCount: filterByteCount)
        } catch {
            switch error.cause {
            case .endOfFile, .system(EIO): return nil
            default: throw error
            }
        }
    }

    private static func check(
        _ file: FileDescriptor, sequence: UInt64, filterByteCount: Int
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
        let filter = BloomFilter(
            keyCount: Int(header.entryCount), remainingByteCount: filterByteCount)
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
                let entry = UnsafeRawPointer(bytes.baseAddress! + position)
                run.add(entry)
                filter?.insert(UInt64(bigEndian: entry.loadUnaligned(as: UInt64.self)))
            }
            shards.append(contentsOf: bytes[entryByteCount...])
            offset += count
        }
        guard hash.finish() == header.checksum else { return nil }
        return BlockCatalogueRun(
            path: file.path, sequence: sequence, file: file, run: run.makeRun(),
            shards: decodeShards(shards), filter: filter)
    }

    private static func decodeShards(_ bytes: [UInt8]) -> [BlockCatalogueShard] {
        bytes.withUnsafeBytes { bytes in
            func number(at offset: Int) -> UInt32 {
                UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            }
            return stride(from: 0, to: bytes.count, by: shardByteCount).map {
                BlockCatalogueShard(serial: number(at: $0), entryCount: number(at: $0 + 4))
            }
        }
    }
}
