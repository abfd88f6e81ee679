import Multiformats

/// Why a CAR cannot be imported.
package enum CARImportError: Error, CustomStringConvertible {
    case noRoots
    /// Nothing links to `cid` but the list of roots.
    case missingRoot(CID)
    case missingBlock(CID, linkedFrom: CID, others: Int)
    case malformedBlock(DAGReadError)
    case identityMismatch(CID)
    case codecWithUnknownLinks(CID)
    case scratch(any Error)

    package var description: String {
        switch self {
        case .noRoots: "the CAR names no root; write it with the CID of what it holds as its root"
        case .missingRoot(let cid):
            "the CAR has no block for its root \(cid); export it again with all blocks"
        case .missingBlock(let cid, let parent, let others):
            "the CAR has no block for \(cid), which \(parent) links to"
                + (others > 0 ? " (\(others) more are missing)" : "")
                + "; export it again with all blocks"
        case .malformedBlock(let error): error.description
        case .identityMismatch(let cid):
            "the CAR has a section for the identity CID \(cid) with other bytes than the CID holds"
        case .codecWithUnknownLinks(let cid):
            "block \(cid) has codec \(cid.codec), whose links cannot be followed, so nothing can "
                + "prove that the CAR is complete; dag-pb, dag-cbor, raw, cbor, json and "
                + "libp2p-key can be imported"
        case .scratch(let error): "scratch space failed: \(error)"
        }
    }
}
