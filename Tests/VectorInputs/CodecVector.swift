/// Encoded bytes and what reference decoders say about them.
package struct CodecVector: Sendable, CustomStringConvertible {
    package enum Content: Sendable {
        case dagPB(DagPBCase)
        case cid(CIDCase)
        /// `bytes` is `nil` when go-cid rejects the text, and empty when it accepts it without
        /// saying what it read.
        case cidParse(text: String, bytes: [UInt8]?)
        case hamtHash(HAMTHashCase)
    }

    /// A dag-pb block and the verdict of go-codec-dagpb.
    package struct DagPBCase: Sendable {
        package let block: [UInt8]
        package let isValid: Bool
        /// CIDv1 text of the block.
        package let cid: String?
        /// Differs from `block` only where that is not canonical.
        package let reencoded: [UInt8]?
        /// The decoded node, where the vector has it.
        package let links: [(cid: String, name: [UInt8]?, tsize: Int?)]?
        /// Bytes of the node's Data field; `nil` when the field is absent or the vector says nothing.
        package let data: [UInt8]?
    }

    package struct CIDCase: Sendable {
        package let text: String
        package let bytes: [UInt8]
        package let version: Int
        package let codec: Int
        package let multihashCode: Int
        package let digestByteCount: Int
        /// Text of the same CID as version 1, by base: `base32`, `base36`, `base58btc`, `base16`.
        package let asV1: [(base: String, text: String)]
    }

    package struct HAMTHashCase: Sendable {
        package let name: [UInt8]
        /// First half of MurmurHash3 x64 128, big-endian.
        package let hash: [UInt8]
        /// Slot at each level, by fanout.
        package let slots: [(fanout: Int, path: [Int])]
    }

    package let name: String
    package let content: Content

    package init(_ tree: JSONTree) {
        name = tree.member("name").text
        let expect = tree.member("expect")
        switch tree.member("category").text {
        case "dag-pb-decode", "dag-pb-strict":
            content = .dagPB(Self.dagPBCase(tree, expect))
        case "cid":
            content = .cid(Self.cidCase(tree, expect))
        case "cid-parse":
            let isValid = expect.member("valid").boolean
            content = .cidParse(
                text: tree.member("input").text,
                bytes: isValid ? expect["bytes_hex"]?.bytesFromHex ?? [] : nil)
        case "hamt-hash":
            content = .hamtHash(
                HAMTHashCase(
                    name: tree.member("name_hex").bytesFromHex,
                    hash: expect.member("murmur3_x64_64_hex").bytesFromHex,
                    slots: [8, 16, 256, 1024].map { fanout in
                        (fanout, expect.member("path_fanout\(fanout)").integers)
                    }))
        case let other:
            preconditionFailure("unknown codec vector \(other)")
        }
    }

    package var description: String { name }

    package static let all = VectorFiles.vectors("codec").map(CodecVector.init)

    private static func dagPBCase(_ tree: JSONTree, _ expect: JSONTree) -> DagPBCase {
        let node = expect["dag_json"]
        return DagPBCase(
            block: tree.member("hex").bytesFromHex,
            isValid: expect.member("valid").boolean,
            cid: expect["cid"]?.text,
            reencoded: expect["reencoded_hex"]?.bytesFromHex,
            links: node?.member("Links").elements.map { link in
                (
                    link.member("Hash").member("/").text, link["Name"]?.bytes,
                    link["Tsize"]?.integer
                )
            },
            data: node?["Data"]?.member("/").member("bytes").bytesFromBase64)
    }

    private static func cidCase(_ tree: JSONTree, _ expect: JSONTree) -> CIDCase {
        CIDCase(
            text: tree.member("input").text, bytes: expect.member("bytes_hex").bytesFromHex,
            version: expect.member("version").integer, codec: expect.member("codec").integer,
            multihashCode: expect.member("mh_code").integer,
            digestByteCount: expect.member("mh_len").integer,
            asV1: ["base32", "base36", "base58btc", "base16"].map { base in
                (base, expect.member("v1_\(base)").text)
            })
    }
}
