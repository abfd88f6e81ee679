/// A file, directory or symlink to import.
package struct VectorNode: Sendable {
    package enum Content: Sendable {
        case file(InputSpec)
        case directory([VectorNode])
        case symlink(target: [UInt8])
    }

    /// Empty for the root, unless the import wraps it.
    package var name: [UInt8]
    package var content: Content
    /// The source's permission bits, of use only with the `preserve` options.
    package var mode: UInt32?
    /// The source's modification time in seconds since 1970, of use only with the `preserve` options.
    package var mtime: Int64?
    package var mtimeNanoseconds: UInt32

    package init(
        name: [UInt8] = [], _ content: Content, mode: UInt32? = nil, mtime: Int64? = nil,
        mtimeNanoseconds: UInt32 = 0
    ) {
        self.name = name
        self.content = content
        self.mode = mode
        self.mtime = mtime
        self.mtimeNanoseconds = mtimeNanoseconds
    }

    /// Reads an `input` member; generated entries come before listed ones.
    package init(_ tree: JSONTree) {
        self.init(
            name: tree["name"]?.bytes ?? tree["name_b64"]?.bytesFromBase64 ?? [],
            Self.content(of: tree),
            mode: tree["mode"].map { UInt32($0.integer) },
            mtime: tree["mtime"].map { Int64($0.integer) },
            mtimeNanoseconds: UInt32(tree["mtime_nsecs"]?.integer ?? 0))
    }

    private static func content(of tree: JSONTree) -> Content {
        switch tree.member("type").text {
        case "file":
            return .file(InputSpec(tree.member("data")))
        case "symlink":
            return .symlink(target: tree.member("target").bytes)
        case "dir":
            let generated = tree["entries_gen"].map(generatedEntries) ?? []
            return .directory(generated + (tree["entries"]?.elements ?? []).map(VectorNode.init))
        case let other:
            preconditionFailure("unknown node type \(other)")
        }
    }

    /// The entries of a directory, none for anything else.
    package var entries: [VectorNode] {
        if case .directory(let entries) = content { entries } else { [] }
    }

    /// Visits the node and all below it, a directory before its entries, in the order of `entries`.
    package func forEachNode(
        path: [[UInt8]] = [], _ body: (_ path: [[UInt8]], VectorNode) throws -> Void
    ) rethrows {
        try body(path, self)
        for entry in entries { try entry.forEachNode(path: path + [entry.name], body) }
    }
}
