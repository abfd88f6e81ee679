import Multiformats

/// Why links do not make a list node, or bytes are not one.
package enum ListNodeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is one indirect level only.
    case tooManyLinks(limit: Int)
    /// The bytes stop being a list node at this offset.
    case malformed(offset: Int, reason: String)

    package var description: String {
        switch self {
        case .tooManyLinks(let limit):
            "a list node names at most \(limit) blocks; make larger chunks or more shards"
        case .malformed(let offset, let reason):
            "not a list node: \(reason) at byte \(offset)"
        }
    }
}

/// One encoded node of a list and its CID.
package struct ListNodeBlock: Equatable, Sendable {
    package let cid: CID
    package let bytes: [UInt8]

    package init(cid: CID, bytes: [UInt8]) {
        self.cid = cid
        self.bytes = bytes
    }
}

/// The list of a shard's blocks, or of a root's shards, as ipfs-cluster writes it.
///
/// A DAG-CBOR map from "0", "1", … to CIDs in order of arrival. Up to 5,984 links are one node;
/// more are leaves of 5,984 under one node that lists the leaves. Unlike ipfs-cluster, a number of
/// links that is a multiple of 5,984 makes no empty leaf at the end.
package enum ListNode {
    /// The most links of one node.
    package static let maximumLinks = 5984

    /// The blocks of the list: the leaves in order if there are any, the root last.
    ///
    /// - Throws: `tooManyLinks` for more than 5,984 leaves.
    package static func blocks(
        for links: some Sequence<CID>
    ) throws(ListNodeError) -> [ListNodeBlock] {
        let builder = ListNodeBuilder()
        var blocks: [ListNodeBlock] = []
        for link in links {
            if let leaf = try builder.append(link) { blocks.append(leaf) }
        }
        return blocks + builder.finish().blocks
    }

    /// The CID of the list.
    ///
    /// - Throws: `tooManyLinks` for more than 5,984 leaves.
    package static func root(of links: some Sequence<CID>) throws(ListNodeError) -> CID {
        let builder = ListNodeBuilder()
        for link in links { _ = try builder.append(link) }
        return builder.finish().root
    }

    /// The links of one node. Whether they are leaves of a longer list is for the caller to know:
    /// the node that lists shards looks the same as one that lists leaves.
    ///
    /// - Throws: `malformed` for all bytes that `blocks(for:)` does not write.
    package static func decode(_ bytes: [UInt8]) throws(ListNodeError) -> [CID] {
        var reader = ListNodeReader(bytes: bytes)
        return try reader.links()
    }
}
