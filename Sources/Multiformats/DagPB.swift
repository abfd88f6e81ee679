/// Pieces of the dag-pb block format (IPLD dag-pb specification), for encoding without a tree of
/// nodes. A block is its links, sorted by name, then its data.
package enum DagPB {
    /// Appends the field of one link. Name and Tsize are always written, as boxo does.
    package static func appendLink(
        _ cid: CID, name: [UInt8], tsize: UInt64, to bytes: inout [UInt8]
    ) {
        let cidByteCount = cid.byteCount
        let content =
            fieldByteCount(cidByteCount) + fieldByteCount(name.count) + 1 + Varint.byteCount(tsize)
        bytes.append(0x12)
        Varint.append(UInt64(content), to: &bytes)
        appendField(0x0a, byteCount: cidByteCount, to: &bytes)
        cid.append(to: &bytes)
        appendField(0x12, byteCount: name.count, to: &bytes)
        bytes.append(contentsOf: name)
        bytes.append(0x18)
        Varint.append(tsize, to: &bytes)
    }

    /// How many bytes `appendLink` writes.
    package static func linkByteCount(
        cidByteCount: Int, nameByteCount: Int, tsize: UInt64
    ) -> Int {
        fieldByteCount(
            fieldByteCount(cidByteCount) + fieldByteCount(nameByteCount) + 1
                + Varint.byteCount(tsize))
    }

    /// Appends the Data field, which ends a block.
    package static func appendData(_ data: [UInt8], to bytes: inout [UInt8]) {
        appendField(0x0a, byteCount: data.count, to: &bytes)
        bytes.append(contentsOf: data)
    }

    /// How many bytes `appendData` writes for data of this length.
    package static func dataByteCount(_ dataByteCount: Int) -> Int {
        fieldByteCount(dataByteCount)
    }

    private static func appendField(_ tag: UInt8, byteCount: Int, to bytes: inout [UInt8]) {
        bytes.append(tag)
        Varint.append(UInt64(byteCount), to: &bytes)
    }

    private static func fieldByteCount(_ contentByteCount: Int) -> Int {
        1 + Varint.byteCount(UInt64(contentByteCount)) + contentByteCount
    }
}

/// A named edge of the DAG.
package struct DagPBLink: Equatable, Sendable {
    package var cid: CID
    /// The name as bytes: two names are the same only if their bytes are.
    package var name: [UInt8]
    /// Cumulative size of the child: its block and the Tsizes of its links, in bytes.
    package var tsize: UInt64
    /// Whether the block spells the name out; blocks written here always do.
    package var hasName = true
    /// Whether the block spells the Tsize out; blocks written here always do.
    package var hasTsize = true

    package init(cid: CID, name: [UInt8], tsize: UInt64) {
        self.cid = cid
        self.name = name
        self.tsize = tsize
    }
}

/// A dag-pb block taken apart.
package struct DagPBNode: Equatable, Sendable {
    /// In the order of the block, also where that is not canonical.
    package var links: [DagPBLink]
    /// `nil` when the block has no Data field, which differs from an empty one.
    package var data: [UInt8]?

    package init(links: [DagPBLink], data: [UInt8]?) {
        self.links = links
        self.data = data
    }

    /// The canonical block: links first, stably sorted by the bytes of their names.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            links.reduce(into: (data?.count ?? 0) + 8) { $0 += $1.name.count + 64 })
        for link in sortedLinks {
            if link.hasName, link.hasTsize {
                DagPB.appendLink(link.cid, name: link.name, tsize: link.tsize, to: &bytes)
            } else {
                appendSparse(link, to: &bytes)
            }
        }
        if let data { DagPB.appendData(data, to: &bytes) }
        return bytes
    }

    private var sortedLinks: [DagPBLink] {
        let isSorted = zip(links, links.dropFirst()).allSatisfy {
            !$1.name.lexicographicallyPrecedes($0.name)
        }
        if isSorted { return links }
        return links.enumerated().sorted { left, right in
            if left.element.name == right.element.name { return left.offset < right.offset }
            return left.element.name.lexicographicallyPrecedes(right.element.name)
        }.map(\.element)
    }

    /// Writes a link that lacks its name or Tsize, so that what was read is written back alike.
    private func appendSparse(_ link: DagPBLink, to bytes: inout [UInt8]) {
        var content: [UInt8] = [0x0a]
        Varint.append(UInt64(link.cid.byteCount), to: &content)
        link.cid.append(to: &content)
        if link.hasName {
            content.append(0x12)
            Varint.append(UInt64(link.name.count), to: &content)
            content += link.name
        }
        if link.hasTsize {
            content.append(0x18)
            Varint.append(link.tsize, to: &content)
        }
        bytes.append(0x12)
        Varint.append(UInt64(content.count), to: &bytes)
        bytes += content
    }
}
