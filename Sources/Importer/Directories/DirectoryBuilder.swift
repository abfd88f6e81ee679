import Multiformats

/// Turns the entries of a directory into its blocks.
struct DirectoryBuilder {
    let options: ImportOptions
    let store: DirectoryStore

    /// Emits the directory, as one block or as a HAMT.
    func build(
        _ entries: DirectoryEntries, metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        if try entries.totals.becomesHAMT(options, metadata: metadata, path: emitter.owner) {
            return try buildHAMT(entries, metadata: metadata, emitter: &emitter)
        }
        return try buildBlock(entries, metadata: metadata, emitter: &emitter)
    }

    private func buildBlock(
        _ entries: DirectoryEntries, metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        let blockByteCount = UnixFSEncoding.directoryBlockByteCount(
            linkByteCount: entries.totals.linkByteCount, metadata: metadata)
        guard blockByteCount <= ImportError.maximumBlockByteCount else {
            throw .directoryTooLarge(path: emitter.owner, blockByteCount: blockByteCount)
        }
        let records = try records(of: entries)
        var links: [UInt8] = []
        links.reserveCapacity(entries.totals.linkByteCount)
        var childrenByteCount: UInt64 = 0
        records.withUnsafeBytes { bytes in
            for record in sortedByName(bytes) {
                DirectoryLink.append(
                    cid: record.cid, namePrefix: UnsafeRawBufferPointer(start: nil, count: 0),
                    name: record.name, tsize: record.tsize, to: &links)
                childrenByteCount += record.tsize
            }
        }
        let message = UnixFSEncoding.directoryMessage(metadata: metadata)
        return try emitter.emit(
            UnixFSEncoding.block(links: links, message: message),
            childrenByteCount: childrenByteCount)
    }

    private func buildHAMT(
        _ entries: DirectoryEntries, metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        var builder = HAMTBuilder(fanout: options.hamt.fanout)
        if entries.isSpilled, let lastSegment = entries.lastSegment {
            try store.forEachRecord(lastSegment: lastSegment) { (record) throws(ImportError) in
                try builder.append(record, emitter: &emitter)
            }
        } else {
            try entries.records.withUnsafeBufferPointer { (buffer) throws(ImportError) in
                let bytes = UnsafeRawBufferPointer(buffer)
                for offset in offsetsByHash(bytes) {
                    try builder.append(
                        EntryRecord(in: bytes, at: offset), emitter: &emitter)
                }
            }
        }
        return try builder.finish(metadata: metadata, emitter: &emitter)
    }

    /// The live records of a directory that fits into one block.
    private func records(of entries: DirectoryEntries) throws(ImportError) -> [UInt8] {
        guard entries.isSpilled, let lastSegment = entries.lastSegment else {
            return entries.records
        }
        var records: [UInt8] = []
        try store.forEachRecord(lastSegment: lastSegment) { record in
            records.append(contentsOf: record.bytes)
        }
        return records
    }

    private func liveRecords(_ bytes: UnsafeRawBufferPointer) -> [(offset: Int, hash: UInt64)] {
        var found: [(offset: Int, hash: UInt64)] = []
        var offset = 0
        while offset < bytes.count {
            let record = EntryRecord(in: bytes, at: offset)
            if record.isLive { found.append((offset, record.hash)) }
            offset += record.bytes.count
        }
        return found
    }

    private func offsetsByHash(_ bytes: UnsafeRawBufferPointer) -> [Int] {
        liveRecords(bytes).sorted { $0.hash < $1.hash }.map(\.offset)
    }

    /// In the order of names as bytes, shorter ones first.
    private func sortedByName(_ bytes: UnsafeRawBufferPointer) -> [EntryRecord] {
        liveRecords(bytes).map { EntryRecord(in: bytes, at: $0.offset) }.sorted {
            precedes($0.name, $1.name)
        }
    }

    private func precedes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<min(left.count, right.count) where left[index] != right[index] {
            return left[index] < right[index]
        }
        return left.count < right.count
    }
}
