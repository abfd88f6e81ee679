import Multiformats

/// Reads the one form of list node that `ListNodeBuilder` writes.
struct ListNodeReader {
    private let bytes: [UInt8]
    private var offset = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// All links; the node must fill the bytes.
    mutating func links() throws(ListNodeError) -> [CID] {
        let count = try head(.map)
        guard count <= ListNode.maximumLinks else {
            throw malformed("a map of \(count) entries")
        }
        var links: [CID] = []
        links.reserveCapacity(count)
        for number in 0..<count {
            try key(number)
            links.append(try link())
        }
        guard offset == bytes.count else { throw malformed("bytes behind the end") }
        return links
    }

    private mutating func key(_ number: Int) throws(ListNodeError) {
        let expected = String(number).utf8
        let start = offset
        let count = try head(.text)
        guard count == expected.count, bytes.count - offset >= count,
            bytes[offset..<(offset + count)].elementsEqual(expected)
        else {
            offset = start
            throw malformed("no key \"\(number)\"")
        }
        offset += count
    }

    private mutating func link() throws(ListNodeError) -> CID {
        guard try head(.tag) == 42 else { throw malformed("a tag other than 42") }
        let count = try head(.bytes)
        guard count >= 1, bytes.count - offset >= count, bytes[offset] == 0 else {
            throw malformed("no link")
        }
        do {
            let cid = try CID(bytes: Array(bytes[(offset + 1)..<(offset + count)]))
            offset += count
            return cid
        } catch {
            throw malformed("\(error)")
        }
    }

    /// The argument of a head of the kind expected, in its shortest form.
    private mutating func head(_ major: CBOR.MajorType) throws(ListNodeError) -> Int {
        guard offset < bytes.count, bytes[offset] >> 5 == major.rawValue else {
            throw malformed("no \(major)")
        }
        let info = bytes[offset] & 31
        guard info >= 24 else {
            offset += 1
            return Int(info)
        }
        let width = 1 << Int(info - 24)
        // Lengths and counts of a valid node fit 32 bits.
        guard width <= 4, bytes.count - offset > width else { throw malformed("no length") }
        let value = bytes[(offset + 1)...(offset + width)].reduce(0) { $0 << 8 | Int($1) }
        let smallest = width == 1 ? 24 : 1 << (width * 4)
        guard value >= smallest else { throw malformed("a length that is not the shortest") }
        offset += 1 + width
        return value
    }

    private func malformed(_ reason: String) -> ListNodeError {
        .malformed(offset: offset, reason: reason)
    }
}
