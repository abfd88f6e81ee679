/// Why a block is not dag-pb; offsets count from the start of the block.
package enum DagPBError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The block ends inside a field.
    case truncated(offset: Int)
    /// A field number, length or Tsize does not fit 64 bits.
    case malformedVarint(offset: Int)
    /// A field that dag-pb does not have, or one with the wrong wire type.
    case unexpectedField(number: UInt64, wireType: UInt8, offset: Int)
    /// A field that occurs twice, or after one it must precede.
    case misplacedField(String, offset: Int)
    /// A link without a hash.
    case missingHash(offset: Int)
    /// A link whose hash is not a CID.
    case malformedCID(CIDError, offset: Int)

    package var description: String {
        let reason =
            switch self {
            case .truncated(let offset): "it ends inside the field at byte \(offset)"
            case .malformedVarint(let offset): "the number at byte \(offset) is longer than 64 bits"
            case .unexpectedField(let number, let wireType, let offset):
                "unexpected field \(number) with wire type \(wireType) at byte \(offset)"
            case .misplacedField(let name, let offset):
                "the \(name) field at byte \(offset) is repeated or out of order"
            case .missingHash(let offset): "the link at byte \(offset) has no hash"
            case .malformedCID(let error, let offset): "the link at byte \(offset): \(error)"
            }
        return "not a valid dag-pb block: \(reason); make the block again from its source"
    }
}

extension DagPBNode {
    /// Reads a block as strictly as go-codec-dagpb: Data may precede the links but not split them,
    /// and unknown, repeated or misplaced fields are refused. Padded varints are accepted.
    package init(decoding block: UnsafeRawBufferPointer) throws(DagPBError) {
        self.init(links: [], data: nil)
        var fields = FieldReader(block, from: 0, to: block.count)
        var linksEnded = false
        while let field = try fields.next() {
            guard field.wireType == 2, field.number == 1 || field.number == 2 else {
                throw field.unexpected
            }
            if field.number == 1 {
                guard data == nil else { throw .misplacedField("Data", offset: field.offset) }
                data = Array(block[field.content])
                linksEnded = !links.isEmpty
            } else {
                guard !linksEnded else { throw .misplacedField("Links", offset: field.offset) }
                links.append(try DagPBLink(decoding: block, field))
            }
        }
    }

    /// Reads a block as `init(decoding:)` with a pointer does.
    package init(decoding block: [UInt8]) throws(DagPBError) {
        self = try block.withUnsafeBufferPointer { (bytes) throws(DagPBError) in
            try DagPBNode(decoding: UnsafeRawBufferPointer(bytes))
        }
    }
}

extension DagPBLink {
    fileprivate init(
        decoding block: UnsafeRawBufferPointer, _ link: FieldReader.Field
    ) throws(DagPBError) {
        var fields = FieldReader(
            block, from: link.content.lowerBound, to: link.content.upperBound)
        var cid: CID?
        var name: [UInt8]?
        var tsize: UInt64?
        while let field = try fields.next() {
            switch (field.number, field.wireType) {
            case (1, 2):
                guard cid == nil, name == nil, tsize == nil else {
                    throw .misplacedField("Hash", offset: field.offset)
                }
                do {
                    cid = try CID(exactly: UnsafeRawBufferPointer(rebasing: block[field.content]))
                } catch {
                    throw .malformedCID(error, offset: field.offset)
                }
            case (2, 2):
                guard name == nil, tsize == nil else {
                    throw .misplacedField("Name", offset: field.offset)
                }
                name = Array(block[field.content])
            case (3, 0):
                guard tsize == nil else { throw .misplacedField("Tsize", offset: field.offset) }
                tsize = field.value
            default:
                throw field.unexpected
            }
        }
        guard let cid else { throw .missingHash(offset: link.offset) }
        self.init(cid: cid, name: name ?? [], tsize: tsize ?? 0)
        hasName = name != nil
        hasTsize = tsize != nil
    }
}

/// Walks the Protocol Buffers fields in a range of a block.
private struct FieldReader {
    struct Field {
        let number: UInt64
        let wireType: UInt8
        let offset: Int
        /// The number of a varint field.
        let value: UInt64
        /// Where the bytes of a length-delimited field are.
        let content: Range<Int>

        var unexpected: DagPBError {
            .unexpectedField(number: number, wireType: wireType, offset: offset)
        }
    }

    private let block: UnsafeRawBufferPointer
    private var position: Int

    init(_ block: UnsafeRawBufferPointer, from start: Int, to end: Int) {
        self.block = UnsafeRawBufferPointer(rebasing: block[..<end])
        position = start
    }

    mutating func next() throws(DagPBError) -> Field? {
        guard position < block.count else { return nil }
        let offset = position
        let tag = try varint()
        let wireType = UInt8(tag & 7)
        var value: UInt64 = 0
        var content = position..<position
        switch wireType {
        case 0: value = try varint()
        case 2:
            let count = try varint()
            guard count <= UInt64(block.count - position) else { throw .truncated(offset: offset) }
            content = position..<position + Int(count)
            position = content.upperBound
        default: throw .unexpectedField(number: tag >> 3, wireType: wireType, offset: offset)
        }
        return Field(
            number: tag >> 3, wireType: wireType, offset: offset, value: value, content: content)
    }

    private mutating func varint() throws(DagPBError) -> UInt64 {
        do {
            return try Varint.decode(block, at: &position)
        } catch .truncated {
            throw .truncated(offset: position)
        } catch {
            throw .malformedVarint(offset: position)
        }
    }
}
