import Multiformats

/// What the block catalogue knows a block by: eight bytes that are spread evenly.
enum CatalogueKey {
    static func key(of cid: CID) -> UInt64 { cid.multihashKey32.word0 }

    static func key(function: HashFunction, digest: UnsafeRawBufferPointer) -> UInt64 {
        key(of: CID(version: .v1, codec: .raw, hashFunction: function, digest: digest))
    }
}
