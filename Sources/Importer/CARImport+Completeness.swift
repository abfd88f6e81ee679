import Multiformats
import Spill

extension CARImport {
    /// What a search from the roots found missing.
    private struct Missing {
        var first: (cid: CID, parent: CID?)?
        var count = 0
    }

    /// Walks from the roots over the recorded links, breadth first, and fails at a missing block.
    ///
    /// The queue is a scratch file too: it may hold every block.
    mutating func checkReachable() throws(CARImportError) {
        var missing = Missing()
        do {
            let queue = try scratch.makeFile()
            try visit(roots, linkedFrom: nil, &missing, queue)
            var position: UInt64 = 0
            while position < queue.byteCount {
                var offset: UInt64 = 0
                try withUnsafeMutableBytes(of: &offset) { try queue.read(at: position, into: $0) }
                position += 8
                let list = try linkLists.read(at: offset)
                try visit(list.links, linkedFrom: list.cid, &missing, queue)
            }
        } catch let error as CARImportError {
            throw error
        } catch {
            throw .scratch(error)
        }
        guard let (cid, parent) = missing.first else { return }
        guard let parent else { throw .missingRoot(cid) }
        throw .missingBlock(cid, linkedFrom: parent, others: missing.count - 1)
    }

    private mutating func visit(
        _ links: [CID], linkedFrom parent: CID?, _ missing: inout Missing,
        _ queue: any ScratchFile
    ) throws {
        for cid in try Self.resolvingIdentities(links) {
            let key = keys.key(of: cid.asV1)
            var state = try lookup(key) ?? .awaited
            if state.isReached { continue }
            state.isReached = true
            try store(key, state)
            if !state.isPresent {
                missing.count += 1
                if missing.first == nil { missing.first = (cid, parent) }
            } else if let list = state.list {
                _ = try withUnsafeBytes(of: list) { try queue.append($0) }
            }
        }
    }
}
