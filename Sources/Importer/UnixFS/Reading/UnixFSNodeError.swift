import Multiformats

/// Why a block is not a usable UnixFS node.
package enum UnixFSNodeError: Error, Equatable, Sendable, CustomStringConvertible {
    case notDagPB(DagPBError)
    case codecNotUnixFS(UInt64)
    case noData
    case truncated
    case missingType
    case unknownType(UInt64)
    case repeatedField(UInt64)
    case wrongWireType(field: UInt64)
    case valueOutOfRange(UInt64)
    case linkCountMismatch(links: Int, blockSizes: Int)
    case fileSizeMismatch(claimed: UInt64, sum: Int)
    case fileTooLong
    case leafTooLong(byteCount: Int)
    case notALeaf(links: Int)
    case badFanout(UInt64)
    case fanoutChanges(parent: Int, child: Int)
    case badHashFunction(UInt64)
    case badBitfield
    case badSlotName([UInt8])
    case slotsOutOfOrder([UInt8])
    case nameInWrongSlot([UInt8])
    case emptyShard
    case shardTooDeep

    package var description: String {
        switch self {
        case .notDagPB(let error): "not a dag-pb node: \(error)"
        case .codecNotUnixFS(let code):
            "codec 0x\(String(code, radix: 16)) holds no UnixFS; expected dag-pb or raw"
        case .noData: "dag-pb node without Data is not UnixFS"
        case .truncated: "UnixFS message is cut off or has an oversized number"
        case .missingType: "UnixFS message without a type"
        case .unknownType(let type): "UnixFS type \(type) is not known (0 to 5 are)"
        case .repeatedField(let field): "UnixFS field \(field) appears twice"
        case .wrongWireType(let field): "UnixFS field \(field) has the wrong wire type"
        case .valueOutOfRange(let field): "UnixFS field \(field) has a value out of range"
        case .linkCountMismatch(let links, let blockSizes):
            "file node has \(links) links but \(blockSizes) block sizes"
        case .fileSizeMismatch(let claimed, let sum):
            "file node claims \(claimed) bytes but its parts add up to \(sum)"
        case .fileTooLong: "sizes in a file node add up to more than 2^63 - 1 bytes"
        case .leafTooLong(let byteCount):
            "leaf of \(byteCount) bytes is above the block limit of "
                + "\(ReadingLimits.maximumBlockByteCount)"
        case .notALeaf(let links): "expected a leaf, found a node with \(links) links"
        case .badFanout(let fanout):
            "directory fanout \(fanout) is not a power of two from 8 to 1024"
        case .fanoutChanges(let parent, let child):
            "directory fanout changes from \(parent) to \(child) on the way down"
        case .badHashFunction(let code):
            "sharded directory uses hash function 0x\(String(code, radix: 16)), not murmur3 (0x22)"
        case .badBitfield: "bit field of a sharded directory does not match its links"
        case .badSlotName(let name):
            "link name \(quoted(name)) does not begin with its slot in upper-case hexadecimal"
        case .slotsOutOfOrder(let name):
            "link \(quoted(name)) of a sharded directory is not in ascending slot order"
        case .nameInWrongSlot(let name):
            "the hash of name \(quoted(name)) does not lead to the slot that holds it"
        case .emptyShard: "a part of a sharded directory has no entries"
        case .shardTooDeep: "sharded directory is deeper than its hash has bits"
        }
    }
}

/// A name for people: names are bytes and may not be UTF-8.
func quoted(_ name: [UInt8]) -> String { "'\(String(decoding: name, as: UTF8.self))'" }
