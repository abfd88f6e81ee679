/// Pieces of a CAR in writing, and whole small ones.
package enum CARWriter {
    /// How many bytes one block takes in a CAR: a length, its CID and the block.
    package static func sectionByteCount(_ cid: CID, blockByteCount: Int) -> Int {
        let contentByteCount = cid.byteCount + blockByteCount
        return Varint.byteCount(UInt64(contentByteCount)) + contentByteCount
    }

    /// Appends what precedes a block's bytes in a CAR.
    package static func appendSectionHead(
        _ cid: CID, blockByteCount: Int, to bytes: inout [UInt8]
    ) {
        Varint.append(UInt64(cid.byteCount + blockByteCount), to: &bytes)
        cid.append(to: &bytes)
    }

    /// A whole CARv1 in memory, with the blocks in the order given.
    package static func archive(roots: [CID], blocks: [(CID, [UInt8])]) -> [UInt8] {
        var bytes = CARHeader(roots: roots).encoded
        for (cid, block) in blocks {
            appendSectionHead(cid, blockByteCount: block.count, to: &bytes)
            bytes += block
        }
        return bytes
    }

    /// A whole CARv2 in memory: the CARv1 right behind the header, no padding, and an index of
    /// kind MultihashIndexSorted, as go-car writes it.
    package static func indexedArchive(roots: [CID], blocks: [(CID, [UInt8])]) -> [UInt8] {
        var index = MultihashIndexBuilder()
        var offset = UInt64(CARHeader(roots: roots).encoded.count)
        for (cid, block) in blocks {
            index.add(cid, offset: offset)
            offset += UInt64(sectionByteCount(cid, blockByteCount: block.count))
        }
        let header = CARv2.Header(dataByteCount: offset)
        return header.encoded + archive(roots: roots, blocks: blocks) + index.encoded()
    }
}
