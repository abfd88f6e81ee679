import Multiformats

/// Builds a list node link by link in memory that does not grow with the links: it keeps the open
/// leaf, at most 300 KB for common CIDs, and one CID per closed leaf.
///
/// It holds a hash context, so it belongs to one thread at a time.
package final class ListNodeBuilder {
    /// What is left to emit when the last link is in.
    package struct Finished: Equatable, Sendable {
        /// Blocks not emitted yet: the open leaf if there are others, the root last.
        package var blocks: [ListNodeBlock]
        /// The CID of the list.
        package var root: CID
        /// Levels of list nodes: 1, or 2 with leaves under the root.
        package var depth: Int
    }

    private let hasher: BlockHasher
    private let maximumLinks: Int
    private var leaves: [CID] = []
    private var open = MapBody()
    /// Links appended so far.
    package private(set) var linkCount = 0

    package convenience init() {
        self.init(maximumLinks: ListNode.maximumLinks)
    }

    /// A builder of smaller nodes, on which tests reach the limits.
    init(maximumLinks: Int) {
        self.maximumLinks = maximumLinks
        do {
            hasher = try BlockHasher(.sha2_256)
        } catch {
            preconditionFailure("sha2-256 is always there: \(error)")
        }
    }

    /// Adds a link behind the others.
    ///
    /// - Returns: The leaf that became complete because another link follows it.
    /// - Throws: `tooManyLinks` for more than 5,984 leaves; nothing has changed then.
    package func append(_ link: CID) throws(ListNodeError) -> ListNodeBlock? {
        var closed: ListNodeBlock?
        if open.count == maximumLinks {
            guard leaves.count < maximumLinks - 1 else {
                throw .tooManyLinks(limit: maximumLinks * maximumLinks)
            }
            closed = closeLeaf()
        }
        open.append(link)
        linkCount += 1
        return closed
    }

    /// Closes the list. The builder is empty afterwards and can build another one.
    package func finish() -> Finished {
        defer {
            leaves = []
            linkCount = 0
        }
        guard !leaves.isEmpty else {
            let root = encodeOpen()
            return Finished(blocks: [root], root: root.cid, depth: 1)
        }
        let last = closeLeaf()
        for leaf in leaves { open.append(leaf) }
        let root = encodeOpen()
        return Finished(blocks: [last, root], root: root.cid, depth: 2)
    }

    private func closeLeaf() -> ListNodeBlock {
        let leaf = encodeOpen()
        leaves.append(leaf.cid)
        return leaf
    }

    private func encodeOpen() -> ListNodeBlock {
        let bytes = open.encoded()
        open = MapBody()
        do {
            let cid = try hasher.cid(version: .v1, codec: .dagCBOR, bytes)
            return ListNodeBlock(cid: cid, bytes: bytes)
        } catch {
            preconditionFailure("sha2-256 hashes blocks of every size: \(error)")
        }
    }
}

/// The entries of one node, encoded as they arrive. In DAG-CBOR a shorter key comes before a
/// longer one, so counting in decimal writes the keys in canonical order.
private struct MapBody {
    private(set) var count = 0
    private var entries: [UInt8] = []

    mutating func append(_ link: CID) {
        CBOR.appendText(Array(String(count).utf8), to: &entries)
        CBOR.appendCID(link, to: &entries)
        count += 1
    }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count + 9)
        CBOR.appendHead(.map, UInt64(count), to: &bytes)
        bytes.append(contentsOf: entries)
        return bytes
    }
}
