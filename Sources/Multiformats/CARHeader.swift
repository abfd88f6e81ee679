/// The first item of a CAR: its version and roots (CARv1 specification).
package struct CARHeader: Equatable, Sendable {
    package var version: UInt64
    /// Empty in the pragma of a CARv2, whose roots are in the CARv1 inside it.
    package var roots: [CID]

    /// A header of version 1.
    package init(roots: [CID]) {
        version = 1
        self.roots = roots
    }

    /// The header as it stands at the start of a CAR: its length as a varint, then DAG-CBOR.
    package var encoded: [UInt8] {
        let map = CBOR.map([
            CBOR.Entry("roots", .array(roots.map(CBOR.cid))),
            CBOR.Entry("version", .unsigned(version)),
        ]).encoded
        var bytes: [UInt8] = []
        Varint.append(UInt64(map.count), to: &bytes)
        return bytes + map
    }

    /// Reads the DAG-CBOR map behind the length; keys may come in any order, and other keys
    /// besides `version` and `roots` are ignored.
    package init(decoding map: UnsafeRawBufferPointer) throws(CARHeaderError) {
        let value: CBOR
        do {
            value = try CBOR(decoding: map, acceptsAnyKeyOrder: true)
        } catch {
            throw .notCBOR(error)
        }
        guard let version = value["version"]?.unsignedValue else { throw .noVersion }
        self.version = version
        roots = []
        guard version == 1 else { return }
        guard let items = value["roots"]?.arrayValue else { throw .noRoots }
        roots.reserveCapacity(items.count)
        for item in items {
            guard let root = item.cidValue else { throw .noRoots }
            roots.append(root)
        }
    }
}

/// Why the first item of a file is not a CAR header.
package enum CARHeaderError: Error, Equatable, Sendable, CustomStringConvertible {
    case notCBOR(CBORError)
    /// There is no map with a number under `version`.
    case noVersion
    /// A version 1 header without a list of CIDs under `roots`.
    case noRoots

    package var description: String {
        switch self {
        case .notCBOR(let error): error.description
        case .noVersion: "it has no version number"
        case .noRoots: "it has no list of root CIDs"
        }
    }
}
