import Multiformats

/// The links of a block, by its codec.
enum DAGLinks {
    /// Links of a block, in the order they stand in it.
    ///
    /// Blocks of codecs other than dag-pb and dag-cbor count as having none.
    ///
    /// - Throws: When the block is not what its codec says.
    static func links(
        of cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(DAGReadError) -> [CID] {
        guard block.count <= ReadingLimits.maximumBlockByteCount else {
            throw .blockTooLarge(cid, byteCount: block.count)
        }
        switch cid.codec {
        case .dagPB:
            // The usual leaf: Data and nothing else, not worth a copy.
            if UnixFSNode.leadingData(in: block)?.upperBound == block.count { return [] }
            return try dagPB(cid, block).links.map(\.cid)
        case .dagCBOR:
            do {
                return try DagCBORLinkScanner.links(in: block)
            } catch {
                throw .malformedLinks(cid, reason: error.description)
            }
        default: return []
        }
    }

    /// Whether a block of this codec has to be read to know what it links to.
    static func canHold(_ codec: Codec) -> Bool { codec == .dagPB || codec == .dagCBOR }

    static func dagPB(
        _ cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(DAGReadError) -> DagPBNode {
        do {
            return try DagPBNode(decoding: block)
        } catch {
            throw .malformed(cid, .notDagPB(error))
        }
    }
}

/// Why a dag-cbor block cannot be scanned, and where.
struct DagCBORScanError: Error, Equatable, CustomStringConvertible {
    enum Reason: String {
        case truncated = "the block is cut off"
        case trailingBytes = "bytes follow the value"
        case badHead = "a length or tag is written in a form dag-cbor does not allow"
        case badKey = "a map key is not a text string"
        case badTag = "a tag other than 42 (a link)"
        case badLink = "a link does not hold a CID"
        case badSimple = "a simple value other than true, false, null or a number"
        case badText = "a text is not UTF-8"
        case tooDeep = "values are nested more than 1024 levels deep"
    }

    let reason: Reason
    let offset: Int

    var description: String { "not dag-cbor: \(reason.rawValue) at byte \(offset)" }
}

/// Finds the links in a dag-cbor block without building its values, so that a block of two million
/// small numbers costs no memory.
///
/// The structure is checked strictly (definite lengths, text keys, no tag but 42, nothing behind
/// the value); the order of keys and the shortest form of numbers are not, as in Kubo, because other
/// writers' blocks are what their CIDs say they are.
struct DagCBORLinkScanner {
    private static let maximumDepth = 1024

    private let block: UnsafeRawBufferPointer
    private var position = 0
    private var links: [CID] = []
    /// Open arrays and maps, outermost first: how many items are left in each.
    private var open: [(itemsLeft: UInt64, isMap: Bool)] = []

    private init(_ block: UnsafeRawBufferPointer) { self.block = block }

    static func links(in block: UnsafeRawBufferPointer) throws(DagCBORScanError) -> [CID] {
        var scanner = DagCBORLinkScanner(block)
        repeat {
            try scanner.scanItem()
            scanner.closeFinished()
        } while !scanner.open.isEmpty
        guard scanner.position == block.count else { throw scanner.error(.trailingBytes) }
        return scanner.links
    }

    private func error(_ reason: DagCBORScanError.Reason) -> DagCBORScanError {
        DagCBORScanError(reason: reason, offset: position)
    }

    private mutating func closeFinished() {
        while let last = open.last, last.itemsLeft == 0 { open.removeLast() }
    }

    /// One item; the items inside an array or a map follow in later calls.
    private mutating func scanItem() throws(DagCBORScanError) {
        // In a map keys and values take turns, beginning with a key.
        let isKey = open.last.map { $0.isMap && $0.itemsLeft % 2 == 0 } ?? false
        if !open.isEmpty { open[open.count - 1].itemsLeft -= 1 }
        let head = try head()
        guard !isKey || head.major == 3 else { throw error(.badKey) }
        switch head.major {
        case 0, 1: break
        case 2: _ = try advance(by: head.argument)
        case 3:
            let text = try advance(by: head.argument)
            guard String(validating: block[text], as: UTF8.self) != nil else {
                throw error(.badText)
            }
        case 4: try enter(head.argument, isMap: false)
        case 5: try enter(head.argument, isMap: true)
        case 6: try scanLink(tag: head.argument)
        default:
            // false, true, null, and floats of any width (their bits are the argument).
            guard (20...22).contains(head.info) || (25...27).contains(head.info) else {
                throw error(.badSimple)
            }
        }
    }

    private mutating func enter(_ count: UInt64, isMap: Bool) throws(DagCBORScanError) {
        guard open.count < Self.maximumDepth else { throw error(.tooDeep) }
        // Every item takes a byte at least, so a larger count cannot be true.
        let (items, overflow) = count.multipliedReportingOverflow(by: isMap ? 2 : 1)
        guard !overflow, items <= UInt64(block.count - position) else {
            throw error(.truncated)
        }
        open.append((items, isMap))
    }

    private mutating func scanLink(tag: UInt64) throws(DagCBORScanError) {
        guard tag == 42 else { throw error(.badTag) }
        let head = try head()
        guard head.major == 2, head.argument > 1 else { throw error(.badLink) }
        let range = try advance(by: head.argument)
        guard block[range.lowerBound] == 0,
            // Which part of the CID is wrong does not matter here; the offset is reported.
            let cid = try? CID(
                exactly: UnsafeRawBufferPointer(rebasing: block[range.dropFirst()]))
        else { throw error(.badLink) }
        links.append(cid)
    }

    private mutating func head() throws(DagCBORScanError) -> (
        major: UInt8, info: UInt8, argument: UInt64
    ) {
        guard position < block.count else { throw error(.truncated) }
        let byte = block[position]
        position += 1
        let info = byte & 0x1f
        guard info >= 24 else { return (byte >> 5, info, UInt64(info)) }
        guard info <= 27 else { throw error(.badHead) }
        var argument: UInt64 = 0
        for offset in try advance(by: 1 << UInt64(info - 24)) {
            argument = argument << 8 | UInt64(block[offset])
        }
        return (byte >> 5, info, argument)
    }

    private mutating func advance(by count: UInt64) throws(DagCBORScanError) -> Range<Int> {
        guard count <= UInt64(block.count - position) else { throw error(.truncated) }
        let start = position
        position += Int(count)
        return start..<position
    }
}
