extension VectorNode {
    /// Reads an `entries_gen` member.
    static func generatedEntries(_ tree: JSONTree) -> [VectorNode] {
        switch tree.member("gen").text {
        case "numbered": numberedEntries(tree)
        case "kubo-names": kuboNamedEntries(tree)
        case "go-random-files": goRandomFiles(tree)
        case let other: preconditionFailure("unknown entries \(other)")
        }
    }

    private static func numberedEntries(_ tree: JSONTree) -> [VectorNode] {
        let start = tree["start"]?.integer ?? 0
        let width = tree["width"]?.integer ?? 0
        let prefix = tree["prefix"]?.bytes ?? []
        let suffix = tree["suffix"]?.bytes ?? []
        let textSuffix = tree["text_suffix"]?.bytes ?? []
        let contentKind = tree["content"]?.text ?? "const"
        return (start..<start + tree.member("count").integer).map { number in
            let digits = Array(String(number).utf8)
            let padding = [UInt8](repeating: UInt8(ascii: "0"), count: max(0, width - digits.count))
            let name = prefix + padding + digits + suffix
            let text =
                switch contentKind {
                case "const": tree["text"]?.bytes ?? []
                case "name": name
                case "index": digits
                default: preconditionFailure("unknown content \(contentKind)")
                }
            return VectorNode(name: name, .file(.bytes(text + textSuffix)))
        }
    }

    /// The alphabet of go-test; the 0 appears twice.
    private static let nameAlphabet = Array("abcdefghijklmnopqrstuvwxyz01234567890-_".utf8)

    private static func kuboNamedEntries(_ tree: JSONTree) -> [VectorNode] {
        let count = tree.member("count").integer
        let text = tree["text"]?.bytes ?? [UInt8(ascii: "x")]
        let randomBytes = InputSpec.chacha20(seed: tree.member("seed").text, byteCount: 1 << 20)
        var rest = randomBytes.bytes[...]
        return (0..<count).map { index in
            let lengthKey = index == count - 1 ? "last_name_len" : "name_len"
            let name = rest.prefix(tree.member(lengthKey).integer).map { byte in
                nameAlphabet[Int(byte) % nameAlphabet.count]
            }
            rest = rest.dropFirst(name.count)
            return VectorNode(name: name, .file(.bytes(text)))
        }
    }

    /// The tree of the `random-files` program of ipfs/go-test, or the part of it at `path`.
    private static func goRandomFiles(_ tree: JSONTree) -> [VectorNode] {
        var generator = GoRandomFiles(
            random: GoRandom(seed: tree.member("seed").integer),
            depth: tree["depth"]?.integer ?? 2, directoryCount: tree["dirs"]?.integer ?? 5,
            fileCount: tree["files"]?.integer ?? 10,
            fileByteCount: tree["filesize"]?.integer ?? 4096,
            isByteCountRandom: tree["random_size"]?.boolean ?? true, nameAlphabet: nameAlphabet)
        return (tree["path"]?.elements ?? []).reduce(generator.makeEntries(level: 1)) {
            entries, name in
            entries.first { $0.name == name.bytes }!.entries
        }
    }
}

private struct GoRandomFiles {
    var random: GoRandom
    let depth: Int
    let directoryCount: Int
    let fileCount: Int
    let fileByteCount: Int
    let isByteCountRandom: Bool
    let nameAlphabet: [UInt8]

    mutating func makeEntries(level: Int) -> [VectorNode] {
        var entries: [VectorNode] = []
        for _ in 0..<fileCount {
            let name = makeName()
            replace(name, in: &entries, with: .file(.bytes(makeFileBytes())))
        }
        guard level != depth else { return entries }
        for _ in 0..<directoryCount {
            let name = makeName()
            replace(name, in: &entries, with: .directory(makeEntries(level: level + 1)))
        }
        return entries
    }

    private mutating func makeName() -> [UInt8] {
        let length = 4 + random.intn(12)
        return (0..<length).map { _ in nameAlphabet[random.intn(nameAlphabet.count)] }
    }

    private mutating func makeFileBytes() -> [UInt8] {
        guard fileByteCount > 0 else { return [] }
        let isRandom = isByteCountRandom && fileByteCount > 1
        let byteCount = isRandom ? random.int63n(fileByteCount) + 1 : fileByteCount
        return [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            random.read(into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    /// A name drawn twice overwrites the earlier entry.
    private func replace(
        _ name: [UInt8], in entries: inout [VectorNode], with content: VectorNode.Content
    ) {
        if let index = entries.firstIndex(where: { $0.name == name }) {
            entries[index].content = content
        } else {
            entries.append(VectorNode(name: name, content))
        }
    }
}
