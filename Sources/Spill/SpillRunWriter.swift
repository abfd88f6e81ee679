/// Writes the sorted entries of a `SpillTable` to a scratch file: key, then value, big-endian.
struct SpillRunWriter {
    private let file: any ScratchFile
    private let filter: BloomFilter?
    private let mixer: KeyMixer
    private let width: Int
    private var run: SortedRunBuilder
    private var buffer: [UInt8]
    private var filled = 0

    init(
        layout: EntryLayout, file: any ScratchFile, entryCount: Int, filter: BloomFilter?,
        mixer: KeyMixer
    ) {
        self.file = file
        self.filter = filter
        self.mixer = mixer
        width = layout.entryByteCount
        run = SortedRunBuilder(layout: layout, expectedEntryCount: entryCount, byteOffset: 0)
        buffer = [UInt8](repeating: 0, count: 400 * width)
    }

    mutating func append(_ key: SpillKey, _ value: UInt64) throws {
        filter?.insert(mixer.hash(key))
        buffer.withUnsafeMutableBytes { bytes in
            let entry = bytes.baseAddress! + filled
            key.store(to: entry)
            entry.storeBytes(
                of: value.bigEndian, toByteOffset: SpillKey.byteCount, as: UInt64.self)
            run.add(entry)
        }
        filled += width
        if filled == buffer.count { try flush() }
    }

    consuming func finish() throws -> (SortedRun, any ScratchFile, BloomFilter?) {
        try flush()
        try file.endAppending()
        return (run.makeRun(), file, filter)
    }

    private mutating func flush() throws {
        try buffer.withUnsafeBytes { bytes in
            _ = try file.append(UnsafeRawBufferPointer(rebasing: bytes[..<filled]))
        }
        filled = 0
    }
}
