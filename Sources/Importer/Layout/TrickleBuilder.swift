/// Joins leaves to a tree that is shallow at its beginning and deeper towards its end, with one
/// open node per level (boxo, `importer/trickle`).
///
/// A node takes `width` leaves, then for each depth from 1 up to its own four subtrees of that
/// depth. The root's depth is unlimited.
struct TrickleBuilder {
    private let width: Int
    /// From the root down to the node that takes the next leaf or subtree.
    private var path: [OpenNode] = []

    private static let subtreesPerDepth = 4

    private struct OpenNode {
        var node = FileNode()
        /// Its subtrees are less deep than this.
        let maximumDepth: Int
        /// Depth of the subtrees that follow; 0 while leaves do.
        var depth = 0
        /// Subtrees of that depth so far.
        var subtreeCount = 0

        var isFull: Bool { depth >= maximumDepth }
    }

    init(width: Int) { self.width = width }

    mutating func begin() {
        path = [OpenNode(maximumDepth: .max)]
    }

    mutating func append(
        _ leaf: Subtree, emitter: inout BlockEmitter
    ) throws(ImportError) {
        let depth = path[path.count - 1].depth
        if depth > 0 { path.append(OpenNode(maximumDepth: depth)) }
        let last = path.count - 1
        path[last].node.append(leaf)
        if path[last].node.linkCount == width { path[last].depth = 1 }
        while path.count > 1, path[path.count - 1].isFull {
            try closeLast(emitter: &emitter)
        }
    }

    /// Closes what is open and returns the root, which exists even when there was no leaf.
    mutating func finish(
        metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree {
        while path.count > 1 { try closeLast(emitter: &emitter) }
        return try path[0].node.close(metadata: metadata, emitter: &emitter)
    }

    private mutating func closeLast(
        emitter: inout BlockEmitter
    ) throws(ImportError) {
        let child = try path[path.count - 1].node.close(emitter: &emitter)
        path.removeLast()
        let parent = path.count - 1
        path[parent].node.append(child)
        path[parent].subtreeCount += 1
        if path[parent].subtreeCount == Self.subtreesPerDepth {
            path[parent].subtreeCount = 0
            path[parent].depth += 1
        }
    }
}
