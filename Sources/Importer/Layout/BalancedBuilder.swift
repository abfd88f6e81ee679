/// Joins leaves to a tree whose leaves are all at one depth, with one open node per level.
///
/// Leaves are grouped in order, `width` at a time, the groups again, until one node is left; a
/// last group of one still gets its parent (boxo, `importer/balanced`).
struct BalancedBuilder {
    private let width: Int
    /// Open nodes, parents of leaves first. Kept from file to file for their buffers.
    private var levels: [FileNode] = []
    private var levelCount = 0
    /// Whether the file's root gets metadata. The root is written once, with its metadata, so a
    /// full node at the top then waits until it is known whether anything follows.
    private var rootHasMetadata = false

    init(width: Int) { self.width = width }

    mutating func begin(rootHasMetadata: Bool) {
        for level in 0..<levelCount { levels[level].reset() }
        levelCount = 0
        self.rootHasMetadata = rootHasMetadata
    }

    mutating func append(
        _ leaf: Subtree, emitter: inout BlockEmitter
    ) throws(ImportError) {
        try append(leaf, at: 0, emitter: &emitter)
    }

    /// Closes what is open.
    ///
    /// - Returns: The root, which is the leaf itself when there was only one; `nil` when there was
    ///   none.
    mutating func finish(
        metadata: EntryMetadata, emitter: inout BlockEmitter
    ) throws(ImportError) -> Subtree? {
        var level = 0
        while level + 1 < levelCount {
            if levels[level].linkCount > 0 {
                let node = try levels[level].close(emitter: &emitter)
                try append(node, at: level + 1, emitter: &emitter)
            }
            level += 1
        }
        guard levelCount > 0 else { return nil }
        if levels[level].linkCount == 1 {
            precondition(metadata.isEmpty, "a root with metadata is never emitted before its end")
            return levels[level].firstChild
        }
        return try levels[level].close(metadata: metadata, emitter: &emitter)
    }

    private mutating func append(
        _ child: Subtree, at firstLevel: Int, emitter: inout BlockEmitter
    ) throws(ImportError) {
        var child = child
        var level = firstLevel
        while true {
            if level == levelCount { addLevel() }
            let hasWaited = levels[level].linkCount == width
            if hasWaited {
                let node = try levels[level].close(emitter: &emitter)
                try append(node, at: level + 1, emitter: &emitter)
            }
            levels[level].append(child)
            let mayBeRoot = rootHasMetadata && level == levelCount - 1
            if mayBeRoot || levels[level].linkCount < width { return }
            child = try levels[level].close(emitter: &emitter)
            level += 1
        }
    }

    private mutating func addLevel() {
        if levels.count == levelCount { levels.append(FileNode()) }
        levelCount += 1
    }
}
