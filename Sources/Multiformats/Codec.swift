/// How the bytes of a block are to be understood: a code of the multicodec table.
package struct Codec: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static let cbor = Codec(rawValue: 0x51)
    package static let raw = Codec(rawValue: 0x55)
    package static let dagPB = Codec(rawValue: 0x70)
    package static let dagCBOR = Codec(rawValue: 0x71)
    package static let libp2pKey = Codec(rawValue: 0x72)
    package static let dagJSON = Codec(rawValue: 0x0129)
    package static let json = Codec(rawValue: 0x0200)

    /// The name in the multicodec table, or the code in hexadecimal.
    package var description: String {
        switch self {
        case .cbor: "cbor"
        case .raw: "raw"
        case .dagPB: "dag-pb"
        case .dagCBOR: "dag-cbor"
        case .libp2pKey: "libp2p-key"
        case .dagJSON: "dag-json"
        case .json: "json"
        default: "0x" + String(rawValue, radix: 16)
        }
    }
}
