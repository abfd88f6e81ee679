import PosixIO
import Spill

/// Writes a `BlockCatalogueRun` under a temporary name and gives it its own at the end. One that is
/// released before leaves nothing behind.
final class BlockCatalogueRunWriter {
    private let path: String
    private let temporaryPath: String
    private let file: FileDescriptor
    private let buffer: BlockCatalogueBuffer
    private var run: SortedRunBuilder
    private let filter: BloomFilter?
    private(set) var entryCount = 0
    private var last: (key: UInt64, serial: UInt32)?
    private var isFinished = false

    /// - Parameters:
    ///   - expectedEntryCount: Sizes what is kept in memory of the run; need not be exact.
    ///   - filterByteCount: Memory left for filters.
    init(_ path: String, expectedEntryCount: Int, filterByteCount: Int) throws(IOError) {
        self.path = path
        temporaryPath = path + FileSystem.unfinishedSuffix
        try FileSystem.removeFile(temporaryPath)
        file = try FileDescriptor(temporaryPath, for: .create)
        buffer = BlockCatalogueBuffer()
        run = SortedRunBuilder(
            layout: BlockCatalogueRun.layout, expectedEntryCount: expectedEntryCount,
            byteOffset: UInt64(BlockCatalogueRun.headerByteCount))
        filter = BloomFilter(keyCount: expectedEntryCount, remainingByteCount: filterByteCount)
    }

    deinit {
        // What cannot be removed now is removed at the next start.
        if !isFinished { _ = try? FileSystem.removeFile(temporaryPath) }
    }

    /// Appends an entry; one equal to the last is left out.
    func append(_ key: UInt64, _ serial: UInt32) throws(IOError) {
        if let last {
            precondition((last.key, last.serial) <= (key, serial), "entries come in order")
            if last == (key, serial) { return }
        }
        last = (key, serial)
        if buffer.room < BlockCatalogueRun.layout.entryByteCount { try buffer.flush(to: file) }
        let entry = buffer.next
        entry.storeBytes(of: key.bigEndian, as: UInt64.self)
        entry.storeBytes(of: serial.bigEndian, toByteOffset: 8, as: UInt32.self)
        run.add(UnsafeRawPointer(entry))
        buffer.advance(BlockCatalogueRun.layout.entryByteCount)
        filter?.insert(key)
        entryCount += 1
    }

    /// - Parameters:
    ///   - shards: All shards of the run, ascending, those without entries included.
    ///   - isDurable: Wait until the contents are on the disk.
    func finish(
        shards: [BlockCatalogueShard], sequence: UInt64, isDurable: Bool = false
    ) throws(IOError) -> BlockCatalogueRun {
        for shard in shards {
            if buffer.room < BlockCatalogueRun.shardByteCount { try buffer.flush(to: file) }
            buffer.next.storeBytes(of: shard.serial.bigEndian, as: UInt32.self)
            buffer.next.storeBytes(of: shard.entryCount.bigEndian, toByteOffset: 4, as: UInt32.self)
            buffer.advance(BlockCatalogueRun.shardByteCount)
        }
        let checksum = try buffer.finish(to: file)
        let header = BlockCatalogueHeader(
            shardCount: UInt32(shards.count), entryCount: UInt64(entryCount), checksum: checksum)
        try file.writeAll(header.encoded(), at: 0)
        if isDurable { try file.synchronizeData() }
        try FileSystem.rename(temporaryPath, to: path)
        isFinished = true
        return BlockCatalogueRun(
            path: path, sequence: sequence, file: file, run: run.makeRun(), shards: shards,
            filter: filter)
    }
}

/// Collects what follows the header and keeps its checksum.
private final class BlockCatalogueBuffer {
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 96 * 2048, alignment: 16)
    private var filled = 0
    private var offset = BlockCatalogueRun.headerByteCount
    private var hash = XXH64()

    deinit { memory.deallocate() }

    var room: Int { memory.count - filled }

    var next: UnsafeMutableRawPointer { memory.baseAddress! + filled }

    func advance(_ count: Int) { filled += count }

    func flush(to file: FileDescriptor) throws(IOError) {
        let bytes = UnsafeRawBufferPointer(rebasing: memory[..<filled])
        hash.update(bytes)
        try file.writeAll(bytes, at: offset)
        offset += filled
        filled = 0
    }

    /// Writes the rest and returns the checksum of all.
    func finish(to file: FileDescriptor) throws(IOError) -> UInt64 {
        try flush(to: file)
        return hash.finish()
    }
}

/// The first 40 bytes of a run.
struct BlockCatalogueHeader: Equatable {
    let shardCount: UInt32
    let entryCount: UInt64
    let checksum: UInt64

    init(shardCount: UInt32, entryCount: UInt64, checksum: UInt64) {
        self.shardCount = shardCount
        self.entryCount = entryCount
        self.checksum = checksum
    }

    func encoded() -> [UInt8] {
        var bytes = BlockCatalogueRun.magic
        withUnsafeBytes(of: BlockCatalogueRun.version.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: shardCount.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: entryCount.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: checksum.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: XXH64.hash(bytes).bigEndian) { bytes.append(contentsOf: $0) }
        return bytes
    }

    /// `nil` if these are not the first bytes of a run of this version.
    init?(decoding bytes: [UInt8]) {
        func number<Number: FixedWidthInteger>(at offset: Int, as: Number.Type) -> Number {
            bytes.withUnsafeBytes {
                Number(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: Number.self))
            }
        }
        guard bytes.count == BlockCatalogueRun.headerByteCount,
            bytes.starts(with: BlockCatalogueRun.magic),
            number(at: 8, as: UInt32.self) == BlockCatalogueRun.version,
            number(at: 32, as: UInt64.self) == XXH64.hash(Array(bytes[..<32]))
        else { return nil }
        shardCount = number(at: 12, as: UInt32.self)
        entryCount = number(at: 16, as: UInt64.self)
        checksum = number(at: 24, as: UInt64.self)
    }
}
