import Multiformats

/// Why a DAG could not be read. Every case names the block that is to blame.
package enum DAGReadError: Error, CustomStringConvertible {
    case malformed(CID, UnixFSNodeError)
    case malformedLinks(CID, reason: String)
    case notAFile(CID, UnixFSNode.NodeType)
    case notADirectory(CID, UnixFSNode.NodeType)
    case sizeMismatch(CID, expected: Int, actual: Int)
    case blockTooLarge(CID, byteCount: Int)
    case tooDeep(CID, limit: Int)
    case tooManyOpenLinks(CID, limit: Int)
    case unexpectedBlock(CID, awaited: CID?)
    case scratch(any Error)

    package var description: String {
        switch self {
        case .malformed(let cid, let error): "block \(cid) cannot be read: \(error)"
        case .malformedLinks(let cid, let reason): "block \(cid) cannot be read: \(reason)"
        case .notAFile(let cid, let type): "\(cid) is a \(type), not a file or a part of one"
        case .notADirectory(let cid, let type): "\(cid) is a \(type), not a directory"
        case .sizeMismatch(let cid, let expected, let actual):
            "block \(cid) holds \(actual) bytes of the file where its parent says \(expected)"
        case .blockTooLarge(let cid, let byteCount):
            "block \(cid) has \(byteCount) bytes; the limit is "
                + "\(ReadingLimits.maximumBlockByteCount)"
        case .tooDeep(let cid, let limit): "block \(cid) lies more than \(limit) levels deep"
        case .tooManyOpenLinks(let cid, let limit):
            "reading block \(cid) would keep more than \(limit) links open"
        case .unexpectedBlock(let cid, let awaited):
            "block \(cid) was supplied where \(awaited.map { "\($0)" } ?? "none") was awaited"
        case .scratch(let error): "scratch space failed: \(error)"
        }
    }
}
