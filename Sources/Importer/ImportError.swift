import Multiformats

/// Why an import cannot go on. The importer is of no use after any of them.
package enum ImportError: Error, Sendable, CustomStringConvertible {
    /// A name is used twice, by entries that cannot both be there.
    case pathConflict(path: [UInt8], existing: EntryKind, added: EntryKind)
    /// A second entry at the top of a tree that must have one root.
    case severalRoots(first: [UInt8], second: [UInt8])
    case pathTooDeep(path: [UInt8], componentCount: Int)
    case pathTooLong(byteCount: Int)
    case nameTooLong(name: [UInt8], byteCount: Int)
    case nameContainsNUL(name: [UInt8])
    case symlinkTargetTooLong(path: [UInt8], byteCount: Int)
    /// A directory that the options keep in one block needs more than a block can hold.
    case directoryTooLarge(path: [UInt8], blockByteCount: Int)
    /// A directory has more links than allowed, and the options forbid to make it a HAMT.
    case tooManyEntries(path: [UInt8], entryCount: Int, limit: Int)
    /// Names whose hashes agree in so many bits that no HAMT can tell them apart.
    case shardTooDeep(path: [UInt8], name: [UInt8])
    /// An inner node of a file or a shard of a directory is beyond the block limit.
    case blockTooLarge(path: [UInt8], byteCount: Int)
    /// A chunk is beyond the block limit.
    case chunkTooLarge(path: [UInt8], byteCount: Int)
    /// Neither a file nor a directory arrived, and no directory was asked for.
    case nothingToImport
    case hash(HashError)
    /// Scratch space could not be written or read.
    case scratch(any Error)
    /// Whoever takes the output refused it.
    case output(any Error)

    /// The longest block written, in bytes: what other implementations accept.
    package static let maximumBlockByteCount = 2 << 20

    package var description: String {
        switch self {
        case .pathConflict(let path, let existing, let added):
            "\(readable(path)) is already a \(existing) of this upload and cannot also be "
                + "\(existing == added ? "another" : "a") \(added); send each path once"
        case .severalRoots(let first, let second):
            "an upload has one root, but both \(readable(first)) and \(readable(second)) are at its "
                + "top; add wrap-with-directory=true, or put them into one directory"
        case .pathTooDeep(let path, let count):
            "\(readable(path)) has \(count) components, at most \(ImportPath.maximumDepth) are "
                + "possible; send it as an archive file"
        case .pathTooLong(let count):
            "a path has \(count) bytes, at most \(ImportPath.maximumByteCount) are possible; "
                + "shorten it"
        case .nameTooLong(let name, let count):
            "the name \(readable(name)) has \(count) bytes, at most "
                + "\(ImportPath.maximumNameByteCount) are possible; shorten it"
        case .nameContainsNUL(let name):
            "the name \(readable(name)) contains a NUL byte, which no file system can hold; "
                + "rename it"
        case .symlinkTargetTooLong(let path, let count):
            "the target of symlink \(readable(path)) has \(count) bytes, at most "
                + "\(TreeImporter.maximumSymlinkTargetByteCount) are possible; shorten it"
        case .directoryTooLarge(let path, let count):
            "directory \(readable(path)) needs a block of \(count) bytes, at most "
                + "\(Self.maximumBlockByteCount) are possible; lower "
                + "hamt-directory-size-threshold or set max-directory-links, "
                + "so that it becomes a HAMT"
        case .tooManyEntries(let path, let count, let limit):
            "directory \(readable(path)) has \(count) entries, max-directory-links allows \(limit) "
                + "and hamt-directory-size-threshold forbids to make it a HAMT; change one of them"
        case .shardTooDeep(let path, let name):
            "directory \(readable(path)) cannot become a HAMT: the hash of \(readable(name)) equals "
                + "that of another name; rename it"
        case .blockTooLarge(let path, let count):
            "\(readable(path)) needs a block of \(count) bytes, at most "
                + "\(Self.maximumBlockByteCount) are possible; lower max-file-links or "
                + "max-hamt-fanout, or shorten names"
        case .chunkTooLarge(let path, let count):
            "\(readable(path)) has a chunk of \(count) bytes, more than a block can hold; "
                + "choose another chunker"
        case .nothingToImport:
            "the upload contains neither a file nor a directory; add at least one, or "
                + "wrap-with-directory=true for an empty directory"
        case .hash(let error): error.description
        case .scratch(let error): "scratch space failed: \(error)"
        case .output(let error): "the imported blocks could not be passed on: \(error)"
        }
    }
}

/// A path or name for people: malformed UTF-8 replaced, long ones cut.
private func readable(_ path: [UInt8]) -> String {
    let shown = 200
    if path.isEmpty { return "the root" }
    if path.count <= shown { return "“\(String(decoding: path, as: UTF8.self))”" }
    return "“\(String(decoding: path.prefix(shown), as: UTF8.self))…”"
}
