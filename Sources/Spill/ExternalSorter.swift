/// Sorts any number of byte records in bounded memory.
///
/// Records compare as bytes. To keep the order in which equal keys were added, append a big-endian
/// number to each. Batches that fill the memory are sorted and written to scratch files, then merged,
/// in several passes if they are more than 64.
package final class ExternalSorter {
    /// Records added.
    package private(set) var count = 0

    private let scratch: any ScratchSpace
    private let memoryByteLimit: Int
    private var batch: RecordBatch
    private var runs: [any ScratchFile] = []
    private var longestRecord = 0

    private static let maximumFanIn = 64

    /// - Parameters:
    ///   - scratch: Where batches go; nothing is made there while all records fit in memory.
    ///   - memoryByteLimit: At least 4 KiB. A quarter of it bounds the length of a record.
    package init(scratch: any ScratchSpace, memoryByteLimit: Int = 16 << 20) {
        precondition(memoryByteLimit >= 4096, "too little memory to sort anything")
        self.scratch = scratch
        self.memoryByteLimit = memoryByteLimit
        batch = RecordBatch(byteLimit: memoryByteLimit)
    }

    /// Adds a copy of `record`, which may be empty.
    ///
    /// - Throws: `SpillError.recordTooLong`, or what the scratch space throws.
    package func add(_ record: UnsafeRawBufferPointer) throws {
        guard record.count <= memoryByteLimit / 4 - 64 else {
            throw SpillError.recordTooLong(
                byteCount: record.count, limit: memoryByteLimit / 4 - 64)
        }
        if !batch.append(record) {
            try spill()
            let fits = batch.append(record)
            precondition(fits, "an empty batch takes any record of the allowed length")
        }
        count += 1
        longestRecord = max(longestRecord, record.count)
    }

    /// Calls `body` with each record in order; the bytes are valid during the call only.
    ///
    /// The sorter is empty afterwards, also when `body` throws.
    package func forEachSorted(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let records = try takeSorted()
        while let record = try records.next() { try body(record) }
    }

    /// All records as a sequence to pull from; the sorter is empty afterwards.
    package func takeSorted() throws -> SortedRecords {
        defer {
            batch = RecordBatch(byteLimit: memoryByteLimit)
            runs = []
            count = 0
            longestRecord = 0
        }
        guard !runs.isEmpty else {
            batch.sort()
            return SortedRecords(batch)
        }
        if batch.count > 0 { try spill() }
        batch.releaseMemory()
        let readerByteCount = max(memoryByteLimit / ExternalSorter.maximumFanIn, longestRecord + 4)
        let fanIn = max(2, min(ExternalSorter.maximumFanIn, memoryByteLimit / readerByteCount))
        while runs.count > fanIn {
            runs = try mergePass(fanIn: fanIn, readerByteCount: readerByteCount)
        }
        return SortedRecords(try RecordMerge(runs, bufferByteCount: readerByteCount))
    }

    private func spill() throws {
        batch.sort()
        var writer = RecordWriter(try scratch.makeFile())
        for index in 0..<batch.count { try writer.append(batch.record(index)) }
        runs.append(try writer.finish())
        batch.removeAll()
    }

    /// Merges the runs in groups of `fanIn`.
    private func mergePass(fanIn: Int, readerByteCount: Int) throws -> [any ScratchFile] {
        var merged: [any ScratchFile] = []
        while !runs.isEmpty {
            let group = Array(runs.prefix(fanIn))
            runs.removeFirst(group.count)
            var writer = RecordWriter(try scratch.makeFile())
            var merge = try RecordMerge(group, bufferByteCount: readerByteCount)
            while let record = try merge.next() { try writer.append(record) }
            merged.append(try writer.finish())
        }
        return merged
    }
}

/// Records in order, one at a time.
package final class SortedRecords {
    private enum Source {
        case batch(RecordBatch, next: Int)
        case merge(RecordMerge)
    }

    private var source: Source

    init(_ batch: RecordBatch) { source = .batch(batch, next: 0) }

    init(_ merge: RecordMerge) { source = .merge(merge) }

    /// The next record, valid until the next call; `nil` behind the last.
    package func next() throws -> UnsafeRawBufferPointer? {
        switch source {
        case .batch(let batch, let index):
            guard index < batch.count else { return nil }
            source = .batch(batch, next: index + 1)
            return batch.record(index)
        case .merge(var merge):
            defer { source = .merge(merge) }
            return try merge.next()
        }
    }
}
