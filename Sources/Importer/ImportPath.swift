/// The place of an entry in a tree: its names from the top, none of them empty, "." or "..".
package struct ImportPath: Sendable, Equatable {
    /// Empty for an entry without a name.
    package let components: [[UInt8]]

    package static let maximumDepth = 1024
    /// Linux allows 255 bytes; a block holds many of these.
    package static let maximumNameByteCount = 4096
    package static let maximumByteCount = 32768

    /// Cleans a path as if it were absolute: "//" and "." vanish, ".." goes up but never above
    /// the top.
    ///
    /// - Throws: `pathTooDeep`, `pathTooLong`, `nameTooLong` or `nameContainsNUL`.
    package static func cleaning(_ raw: [UInt8]) throws(ImportError) -> ImportPath {
        var components: [[UInt8]] = []
        for part in raw.split(separator: UInt8(ascii: "/")) {
            if part.elementsEqual(".".utf8) { continue }
            if part.elementsEqual("..".utf8) {
                _ = components.popLast()
            } else {
                components.append(Array(part))
            }
        }
        return try ImportPath(components: components)
    }

    /// Takes names as they are.
    ///
    /// - Precondition: no name is empty, ".", ".." or contains "/".
    /// - Throws: `pathTooDeep`, `pathTooLong`, `nameTooLong` or `nameContainsNUL`.
    package init(components: [[UInt8]]) throws(ImportError) {
        self.components = components
        guard components.count <= Self.maximumDepth else {
            throw .pathTooDeep(path: joined, componentCount: components.count)
        }
        var byteCount = 0
        for name in components {
            precondition(!name.isEmpty, "a name has at least one byte")
            byteCount += name.count + 1
            guard name.count <= Self.maximumNameByteCount else {
                throw .nameTooLong(name: name, byteCount: name.count)
            }
            guard !name.contains(0) else { throw .nameContainsNUL(name: name) }
        }
        guard byteCount <= Self.maximumByteCount else {
            throw .pathTooLong(byteCount: byteCount - 1)
        }
    }

    /// The names with "/" between them.
    package var joined: [UInt8] { Array(components.joined(separator: [UInt8(ascii: "/")])) }
}
