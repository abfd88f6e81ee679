/// Why bytes or a text are not a CID.
package enum CIDError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes end inside the CID.
    case truncated
    /// A number inside the CID is malformed.
    case malformedVarint(VarintError)
    /// Only versions 0 and 1 exist.
    case unsupportedVersion(UInt64)
    /// The digest is longer than any hash function we know makes.
    case digestTooLong(byteCount: UInt64)
    /// Bytes follow the end of the CID.
    case trailingBytes(count: Int)
    /// The text is longer than that of any valid CID.
    case textTooLong(byteCount: Int)
    /// The text is not in a base we read.
    case malformedText(MultibaseError)
    /// A version 0 CID was given in a multibase, or asked for in one other than base58btc.
    case versionZeroInMultibase

    package var description: String {
        let reason =
            switch self {
            case .truncated: "it ends too early"
            case .malformedVarint(let error): error.description
            case .unsupportedVersion(let version):
                "version \(version) does not exist; use version 0 or 1"
            case .digestTooLong(let byteCount):
                "its digest claims \(byteCount) bytes, the most is \(CID.maximumDigestByteCount)"
            case .trailingBytes(let count): "\(count) more bytes follow its end"
            case .textTooLong(let byteCount):
                "its text has \(byteCount) bytes, the most is \(CID.maximumTextByteCount)"
            case .malformedText(let error): error.description
            case .versionZeroInMultibase: "version 0 has only the plain base58 form, “Qm…”"
            }
        return "not a valid CID: \(reason)"
    }
}

/// A content identifier: what a block's bytes mean, and their hash.
///
/// A value of fixed size; only digests longer than 32 bytes live on the heap.
package struct CID: Hashable, Sendable {
    package enum Version: UInt8, Sendable {
        case v0 = 0
        case v1 = 1
    }

    /// The longest digest accepted, in bytes.
    package static let maximumDigestByteCount = 128
    /// The longest text accepted: every CID within the digest limit fits in any base.
    package static let maximumTextByteCount = 400
    /// The most bytes a CID of a digest of the greatest length takes.
    package static let maximumByteCount = 1 + 10 + 10 + 2 + maximumDigestByteCount

    package let version: Version
    private let digestCount: UInt8
    package let codec: Codec
    package let hashFunction: HashFunction
    /// The digest's first 32 bytes in memory order, zeros behind its end.
    private let head: Words
    /// The whole digest when it is longer than 32 bytes.
    private let longDigest: [UInt8]?

    /// Puts a CID together; a version 0 CID must be of dag-pb and a 32-byte sha2-256 digest.
    ///
    /// - Precondition: the digest has at most `maximumDigestByteCount` bytes.
    package init(
        version: Version, codec: Codec, hashFunction: HashFunction, digest: UnsafeRawBufferPointer
    ) {
        precondition(digest.count <= Self.maximumDigestByteCount, "digest too long for a CID")
        precondition(
            version == .v1 || codec == .dagPB && hashFunction == .sha2_256 && digest.count == 32,
            "version 0 is dag-pb and sha2-256 only")
        self.version = version
        self.codec = codec
        self.hashFunction = hashFunction
        digestCount = UInt8(digest.count)
        head = Words(digest)
        longDigest = digest.count > 32 ? Array(digest) : nil
    }

    /// The CID that carries `data` itself instead of a hash, always of version 1.
    ///
    /// - Precondition: `data` has at most `HashFunction.maximumIdentityByteCount` bytes.
    package static func identity(codec: Codec, data: UnsafeRawBufferPointer) -> CID {
        CID(version: .v1, codec: codec, hashFunction: .identity, digest: data)
    }

    /// Length of the digest in bytes.
    package var digestByteCount: Int { Int(digestCount) }

    /// The digest; the pointer must not outlive the call.
    package func withDigest<R, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        if let longDigest {
            return try longDigest.withUnsafeBufferPointer { (bytes) throws(E) in
                try body(UnsafeRawBufferPointer(bytes))
            }
        }
        return try withUnsafeBytes(of: head) { (bytes) throws(E) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[..<Int(digestCount)]))
        }
    }

    /// Whether the CID carries the data itself, so that there is no block to store.
    package var isIdentity: Bool { hashFunction == .identity }

    /// The data an identity CID carries; `nil` for all others.
    package var identityData: [UInt8]? {
        isIdentity ? withDigest { Array($0) } : nil
    }

    /// The same multihash and codec as a version 1 CID.
    package var asV1: CID {
        version == .v1
            ? self
            : withDigest { CID(version: .v1, codec: codec, hashFunction: hashFunction, digest: $0) }
    }

    package static func == (left: CID, right: CID) -> Bool {
        left.head == right.head && left.codec == right.codec && left.version == right.version
            && left.hashFunction == right.hashFunction && left.digestCount == right.digestCount
            && left.longDigest == right.longDigest
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(head)
        hasher.combine(codec)
        if let longDigest { hasher.combine(longDigest) }
    }

    /// Thirty-two bytes with value semantics and no padding.
    private struct Words: Hashable {
        var word0: UInt64 = 0
        var word1: UInt64 = 0
        var word2: UInt64 = 0
        var word3: UInt64 = 0

        init(_ bytes: UnsafeRawBufferPointer) {
            if bytes.count >= 32 {
                self = bytes.loadUnaligned(as: Words.self)
            } else {
                withUnsafeMutableBytes(of: &self) { $0.copyMemory(from: bytes) }
            }
        }
    }
}

// MARK: - Bytes

extension CID: Comparable {
    /// Reads the CID that fills `bytes` exactly.
    package init(bytes: [UInt8]) throws(CIDError) {
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(CIDError) in
            try CID(exactly: UnsafeRawBufferPointer(buffer))
        }
    }

    /// Reads the CID that fills `bytes` exactly.
    package init(exactly bytes: UnsafeRawBufferPointer) throws(CIDError) {
        var offset = 0
        self = try CID.decode(bytes, at: &offset)
        guard offset == bytes.count else { throw .trailingBytes(count: bytes.count - offset) }
    }

    /// Reads a CID at `offset` and moves `offset` behind it. `offset` stays where it is when this
    /// throws.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, at offset: inout Int
    ) throws(CIDError) -> CID {
        var position = offset
        guard bytes.count - position >= 2 else { throw .truncated }
        let version: Version
        let codec: Codec
        if bytes[position] == 0x12, bytes[position + 1] == 0x20 {
            version = .v0
            codec = .dagPB
        } else {
            let number = try varint(bytes, at: &position)
            guard number == 1 else { throw .unsupportedVersion(number) }
            version = .v1
            codec = Codec(rawValue: try varint(bytes, at: &position))
        }
        let function = HashFunction(rawValue: try varint(bytes, at: &position))
        let digestCount = try varint(bytes, at: &position)
        guard digestCount <= UInt64(maximumDigestByteCount) else {
            throw .digestTooLong(byteCount: digestCount)
        }
        let end = position + Int(digestCount)
        guard end <= bytes.count else { throw .truncated }
        offset = end
        return CID(
            version: version, codec: codec, hashFunction: function,
            digest: UnsafeRawBufferPointer(rebasing: bytes[position..<end]))
    }

    private static func varint(
        _ bytes: UnsafeRawBufferPointer, at position: inout Int
    ) throws(CIDError) -> UInt64 {
        let value: UInt64
        do {
            value = try Varint.decodeMinimal(bytes, at: &position)
        } catch .truncated {
            throw .truncated
        } catch {
            throw .malformedVarint(error)
        }
        // Numbers in multiformats have 63 bits at most.
        guard value <= UInt64(Int64.max) else { throw .malformedVarint(.overflow) }
        return value
    }

    /// Length of the binary form in bytes: 34 for version 0, 36 for common version 1 CIDs.
    package var byteCount: Int {
        let prefix = version == .v0 ? 0 : 1 + Varint.byteCount(codec.rawValue)
        return prefix + Varint.byteCount(hashFunction.rawValue)
            + Varint.byteCount(UInt64(digestCount)) + Int(digestCount)
    }

    /// Writes the binary form at the start of `bytes`, which must have `byteCount` bytes of room.
    ///
    /// - Returns: The number of bytes written.
    @discardableResult
    package func write(to bytes: UnsafeMutableRawBufferPointer) -> Int {
        var count = 0
        func put(_ number: UInt64) {
            count += Varint.write(
                number, to: UnsafeMutableRawBufferPointer(rebasing: bytes[count...]))
        }
        if version == .v1 {
            put(1)
            put(codec.rawValue)
        }
        put(hashFunction.rawValue)
        put(UInt64(digestCount))
        withDigest {
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(from: $0)
        }
        return count + Int(digestCount)
    }

    /// Appends the binary form.
    package func append(to bytes: inout [UInt8]) {
        if version == .v1 {
            bytes.append(1)
            Varint.append(codec.rawValue, to: &bytes)
        }
        Varint.append(hashFunction.rawValue, to: &bytes)
        Varint.append(UInt64(digestCount), to: &bytes)
        withDigest { bytes.append(contentsOf: $0) }
    }

    /// The binary form.
    package var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            count = write(to: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Orders CIDs as their binary forms.
    package static func < (left: CID, right: CID) -> Bool {
        guard left.version == right.version, left.codec == right.codec,
            left.hashFunction == right.hashFunction, left.digestCount == right.digestCount
        else { return left.bytes.lexicographicallyPrecedes(right.bytes) }
        return left.withDigest { leftDigest in
            right.withDigest { leftDigest.lexicographicallyPrecedes($0) }
        }
    }
}
