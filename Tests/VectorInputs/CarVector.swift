/// An import and the exact CAR files to write of it.
///
/// CARv1: header with the root; blocks in depth-first pre-order over the links as stored, each CID
/// once, identity CIDs left out. CARv2: payload at offset 51, zero characteristics, an index of the
/// kind MultihashIndexSorted.
package struct CarVector: Sendable, CustomStringConvertible {
    package struct File: Sendable {
        package let byteCount: Int
        package let sha256: [UInt8]
        /// Only of small files.
        package let bytes: [UInt8]?
    }

    package let name: String
    package let opts: ImportVectorOptions
    package let root: String
    package let blockCount: Int
    package let carV1: File
    package let carV2: File
    /// Section CIDs in order; `nil` when there are many.
    package let order: [String]?
    private let inputTree: JSONTree

    package init(_ tree: JSONTree) {
        let expect = tree.member("expect")
        name = tree.member("name").text
        opts = ImportVectorOptions(tree.member("opts"))
        root = expect.member("root").text
        blockCount = expect.member("n_blocks").integer
        carV1 = Self.file("carv1", expect)
        carV2 = Self.file("carv2", expect)
        order = expect["order"]?.texts
        inputTree = tree.member("input")
    }

    package var input: VectorNode { VectorNode(inputTree) }

    package var description: String { name }

    package static let all = VectorFiles.vectors("car").map(CarVector.init)

    private static func file(_ prefix: String, _ expect: JSONTree) -> File {
        File(
            byteCount: expect.member("\(prefix)_size").integer,
            sha256: expect.member("\(prefix)_sha256").bytesFromHex,
            bytes: expect["\(prefix)_hex"]?.bytesFromHex)
    }
}
