import Multiformats

/// The layout of a shard file: CARv2 with one CARv1 payload and a MultihashIndexSorted index.
///
///     0    pragma                                  11 bytes
///     11   characteristics, offsets and sizes      40 bytes
///     51   CARv1 header, one 36-byte root          59 bytes
///     110  sections: blocks in import order, then the list nodes, root last
///     ...  index
///
/// The header has a fixed length, so the sections are written first and the header last.
package enum ShardFormat {
    /// Grows with every change of the layout; part of a shard's receipt.
    package static let version = 1
    /// Where the CARv1 payload begins.
    static let payloadOffset = 51
    /// Where the first section begins.
    static let firstSectionOffset = 110

    /// File bytes one more block takes: its section and its index entry.
    package static func byteCount(of cid: CID, blockByteCount: Int) -> Int {
        CARWriter.sectionByteCount(cid, blockByteCount: blockByteCount)
            + cid.digestByteCount + 8
    }

    /// What closing a shard adds besides the links in its list nodes: their sections and index
    /// entries, one node a level, and the buckets of the index.
    package static let closingByteCount = 1024
}
