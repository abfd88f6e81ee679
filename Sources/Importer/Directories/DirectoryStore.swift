import Multiformats
import Spill

/// What open directories cannot hold in memory: records of entries in segments of a scratch file,
/// closed directories beside them, and a table of the names in spilled directories.
struct DirectoryStore {
    private let scratch: any ScratchSpace
    private let limits: DirectoryLimits
    private var file: (any ScratchFile)?
    private var names: SpillTable?
    private var nameHasher: BlockHasher?

    /// A segment's head: offset of the segment before plus 1, length of its records.
    private static let segmentHeadByteCount = 16

    init(scratch: any ScratchSpace, limits: DirectoryLimits) {
        self.scratch = scratch
        self.limits = limits
    }

    // MARK: - Segments

    /// Writes records behind those of `previous`.
    mutating func writeSegment(
        _ records: [UInt8], previous: UInt64?
    ) throws(ImportError) -> UInt64 {
        let head = [previous.map { $0 + 1 } ?? 0, UInt64(records.count)]
        let offset = try append(words: head)
        try reportingScratch {
            let file = try openFile()
            _ = try records.withUnsafeBytes { try file.append($0) }
        }
        return offset
    }

    func readSegment(
        at offset: UInt64
    ) throws(ImportError) -> (records: [UInt8], previous: UInt64?) {
        let head = try readWords(at: offset, count: 2)
        let records = try read(
            at: offset + UInt64(Self.segmentHeadByteCount), byteCount: Int(head[1]))
        return (records, head[0] == 0 ? nil : head[0] - 1)
    }

    // MARK: - Closed directories

    /// - Returns: A handle for `open`.
    mutating func close(_ directory: ClosedDirectory) throws(ImportError) -> UInt64 {
        try append(words: directory.words)
    }

    func open(_ handle: UInt64) throws(ImportError) -> ClosedDirectory {
        ClosedDirectory(words: try readWords(at: handle, count: ClosedDirectory.byteCount / 8))
    }

    // MARK: - Names in spilled directories

    func find(
        _ name: UnsafeRawBufferPointer, in directory: UInt64
    ) throws(ImportError) -> (kind: EntryKind, handle: UInt64)? {
        guard let names, let nameHasher else { return nil }
        let key = try Self.key(name, directory, nameHasher)
        return try reportingScratch { try names.lookup(key) }.map(Self.unpacked)
    }

    mutating func remember(
        _ name: UnsafeRawBufferPointer, in directory: UInt64, kind: EntryKind, handle: UInt64
    ) throws(ImportError) {
        let hasher = try makeNameHasher()
        let table =
            names
            ?? SpillTable(
                scratch: scratch, memoryEntryLimit: limits.spilledNameCount,
                filterByteLimit: 4 << 20)
        names = table
        let key = try Self.key(name, directory, hasher)
        let value = handle << 2 | UInt64(kind.rawValue)
        try reportingScratch { _ = try table.insert(key, value) }
    }

    // MARK: - Sorting

    /// Calls `body` with the latest record of each name of a spilled directory, in the order of
    /// hashes.
    func forEachRecord(
        lastSegment: UInt64, _ body: (EntryRecord) throws(ImportError) -> Void
    ) throws(ImportError) {
        let sorter = ExternalSorter(scratch: scratch, memoryByteLimit: limits.sorterByteCount)
        try addRecords(lastSegment: lastSegment, to: sorter)
        try reportingScratch {
            // Records of one name follow each other, the latest last.
            var latest: [UInt8] = []
            try sorter.forEachSorted { sorted in
                if !latest.isEmpty, !SortKey.haveSameName(latest, sorted) {
                    try latest.withUnsafeBytes { try body(SortKey.record($0)) }
                }
                latest.removeAll(keepingCapacity: true)
                latest.append(contentsOf: sorted)
            }
            if !latest.isEmpty { try latest.withUnsafeBytes { try body(SortKey.record($0)) } }
        }
    }

    private func addRecords(
        lastSegment: UInt64, to sorter: ExternalSorter
    ) throws(ImportError) {
        var next: UInt64? = lastSegment
        var sorted: [UInt8] = []
        while let segment = next {
            let (records, previous) = try readSegment(at: segment)
            try reportingScratch {
                try records.withUnsafeBytes { bytes in
                    var offset = 0
                    while offset < bytes.count {
                        let record = EntryRecord(in: bytes, at: offset)
                        if record.isLive {
                            SortKey.write(
                                record, position: segment + UInt64(offset), to: &sorted)
                            try sorted.withUnsafeBytes { try sorter.add($0) }
                        }
                        offset += record.bytes.count
                    }
                }
            }
            next = previous
        }
    }

    // MARK: - Scratch

    private mutating func openFile() throws -> any ScratchFile {
        if let file { return file }
        let made = try scratch.makeFile()
        file = made
        return made
    }

    private mutating func append(words: [UInt64]) throws(ImportError) -> UInt64 {
        let words = words.map(\.littleEndian)
        return try reportingScratch {
            let file = try openFile()
            return try words.withUnsafeBytes { try file.append($0) }
        }
    }

    private func readWords(at offset: UInt64, count: Int) throws(ImportError) -> [UInt64] {
        let bytes = try read(at: offset, byteCount: count * 8)
        return bytes.withUnsafeBytes { bytes in
            (0..<count).map {
                UInt64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
            }
        }
    }

    private func read(at offset: UInt64, byteCount: Int) throws(ImportError) -> [UInt8] {
        guard let file else { preconditionFailure("nothing was written to scratch space") }
        return try reportingScratch {
            try [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
                try file.read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
                count = byteCount
            }
        }
    }

    // MARK: - Keys

    private mutating func makeNameHasher() throws(ImportError) -> BlockHasher {
        if let nameHasher { return nameHasher }
        do {
            let made = try BlockHasher(.sha2_256)
            nameHasher = made
            return made
        } catch {
            throw .hash(error)
        }
    }

    private static func key(
        _ name: UnsafeRawBufferPointer, _ directory: UInt64, _ hasher: BlockHasher
    ) throws(ImportError) -> SpillKey {
        do {
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            let digest = try withUnsafeBytes(of: directory.littleEndian) {
                (prefix) throws(HashError) in
                try hasher.cid(version: .v1, codec: .raw, prefix, name, nothing)
            }
            return digest.withDigest { SpillKey($0) }
        } catch {
            throw .hash(error)
        }
    }

    private static func unpacked(_ value: UInt64) -> (kind: EntryKind, handle: UInt64) {
        guard let kind = EntryKind(rawValue: UInt8(value & 3)) else {
            preconditionFailure("a spilled name was overwritten")
        }
        return (kind, value >> 2)
    }
}

/// Records as they are sorted: hash, length of the name, name, position in the scratch file, all
/// big-endian, then the record itself.
private enum SortKey {
    private static let headByteCount = 10

    static func write(_ record: EntryRecord, position: UInt64, to bytes: inout [UInt8]) {
        let name = record.name
        bytes.removeAll(keepingCapacity: true)
        withUnsafeBytes(of: record.hash.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: UInt16(name.count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: name)
        withUnsafeBytes(of: position.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: record.bytes)
    }

    static func haveSameName(_ first: [UInt8], _ second: UnsafeRawBufferPointer) -> Bool {
        let count = first.withUnsafeBytes { nameEnd($0) }
        return count == nameEnd(second) && second[..<count].elementsEqual(first[..<count])
    }

    static func record(_ bytes: UnsafeRawBufferPointer) -> EntryRecord {
        EntryRecord(in: bytes, at: nameEnd(bytes) + 8)
    }

    private static func nameEnd(_ bytes: UnsafeRawBufferPointer) -> Int {
        headByteCount + (Int(bytes[8]) << 8 | Int(bytes[9]))
    }
}

/// Runs work on scratch space and turns what it throws into an `ImportError`.
private func reportingScratch<Result>(
    _ body: () throws -> Result
) throws(ImportError) -> Result {
    do {
        return try body()
    } catch let error as ImportError {
        throw error
    } catch {
        throw .scratch(error)
    }
}
