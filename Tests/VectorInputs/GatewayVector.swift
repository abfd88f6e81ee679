/// A trustless gateway request against a fixture, and the blocks of its CAR answer.
package struct GatewayVector: Sendable, CustomStringConvertible {
    package let name: String
    /// A CAR file, for `VectorFiles.fixture`.
    package let fixture: String
    package let path: String
    package let query: [(name: String, value: String)]
    package let status: Int
    package let blockCount: Int
    /// CIDs of the sections; `nil` when there are many. The header's roots are not specified.
    package let blocksInOrder: [String]?

    package init(_ tree: JSONTree) {
        let request = tree.member("request")
        let expect = tree.member("expect")
        name = tree.member("name").text
        fixture = tree.member("fixture").text
        path = request.member("path").text
        query = request.member("query").members.map {
            (String(decoding: $0.key, as: UTF8.self), $0.value.text)
        }
        status = expect.member("status").integer
        blockCount = expect.member("n_blocks").integer
        blocksInOrder = expect["blocks_in_order"]?.texts
    }

    package var description: String { name }

    package static let all = VectorFiles.vectors("gateway").map(GatewayVector.init)
}
