import Multiformats

/// Writes dag-pb links from the parts of entry records.
enum DirectoryLink {
    /// Appends a link whose name is a prefix and a name in a row.
    static func append(
        cid: UnsafeRawBufferPointer, namePrefix: UnsafeRawBufferPointer,
        name: UnsafeRawBufferPointer, tsize: UInt64, to bytes: inout [UInt8]
    ) {
        let nameByteCount = namePrefix.count + name.count
        let contentByteCount =
            fieldByteCount(cid.count) + fieldByteCount(nameByteCount) + 1
            + Varint.byteCount(tsize)
        bytes.append(0x12)
        Varint.append(UInt64(contentByteCount), to: &bytes)
        bytes.append(0x0a)
        Varint.append(UInt64(cid.count), to: &bytes)
        bytes.append(contentsOf: cid)
        bytes.append(0x12)
        Varint.append(UInt64(nameByteCount), to: &bytes)
        bytes.append(contentsOf: namePrefix)
        bytes.append(contentsOf: name)
        bytes.append(0x18)
        Varint.append(tsize, to: &bytes)
    }

    private static func fieldByteCount(_ contentByteCount: Int) -> Int {
        1 + Varint.byteCount(UInt64(contentByteCount)) + contentByteCount
    }
}
