/// Makes a `SortedRun` while its entries pass by in order, on their way to a file or from it.
package struct SortedRunBuilder {
    private let layout: EntryLayout
    private let byteOffset: UInt64
    private let bucketShift: UInt64
    private let bucketCount: Int
    private var bucketStarts: [Int] = []
    private var entryCount = 0

    /// Buckets of about this many entries can be read in one window.
    private static let entriesPerBucket = 32
    /// Bounds the directory to 32 KiB.
    private static let maximumBucketBits = 12

    /// - Parameters:
    ///   - expectedEntryCount: Sizes the directory; may be exceeded or missed.
    ///   - byteOffset: Where the first entry lies in its file.
    package init(layout: EntryLayout, expectedEntryCount: Int, byteOffset: UInt64) {
        self.layout = layout
        self.byteOffset = byteOffset
        var bits = 1
        while bits < SortedRunBuilder.maximumBucketBits,
            expectedEntryCount >> bits > SortedRunBuilder.entriesPerBucket
        {
            bits += 1
        }
        bucketShift = UInt64(64 - bits)
        bucketCount = 1 << bits
        bucketStarts.reserveCapacity(bucketCount + 1)
    }

    /// Notes the next entry; keys do not decrease.
    package mutating func add(_ entry: UnsafeRawPointer) {
        let bucket = Int(loadBigEndian(entry) >> bucketShift)
        while bucketStarts.count <= bucket { bucketStarts.append(entryCount) }
        entryCount += 1
    }

    /// The run of all entries added.
    package consuming func makeRun() -> SortedRun {
        while bucketStarts.count <= bucketCount { bucketStarts.append(entryCount) }
        return SortedRun(
            layout: layout, entryCount: entryCount, byteOffset: byteOffset,
            bucketStarts: bucketStarts, bucketShift: bucketShift)
    }
}
