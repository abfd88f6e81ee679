/// A hash function by its multihash code.
package struct HashFunction: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The longest data an identity "hash" may carry, in bytes: Kubo's limit.
    package static let maximumIdentityByteCount = 128

    /// BLAKE2b of 8 to 512 bits, by the number of digest bytes.
    private static let blake2bCodes: ClosedRange<UInt64> = 0xb201...0xb240
    /// BLAKE2s of 8 to 256 bits, by the number of digest bytes.
    private static let blake2sCodes: ClosedRange<UInt64> = 0xb241...0xb260

    /// Finds a function by its name in the multicodec table, such as `sha2-256` or `blake2b-256`.
    ///
    /// - Throws: `unknownName` for any other text, and for BLAKE2 below 160 bits, which Kubo
    ///   refuses as too weak.
    package static func named(_ name: String) throws(HashError) -> HashFunction {
        if let known = fixedNames.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
            return known.function
        }
        for (family, base, maximumBitCount) in [
            ("blake2b-", blake2bCodes.lowerBound - 1, 512),
            ("blake2s-", blake2sCodes.lowerBound - 1, 256),
        ] where name.hasPrefix(family) {
            guard let bitCount = Int(name.dropFirst(family.count)),
                bitCount >= 160, bitCount <= maximumBitCount, bitCount.isMultiple(of: 8)
            else { break }
            return HashFunction(rawValue: base + UInt64(bitCount / 8))
        }
        throw .unknownName(name)
    }

    /// The name in the multicodec table, or the code in hexadecimal when it is not one we know.
    package var name: String {
        if let known = Self.fixedNames.first(where: { $0.function == self }) { return known.name }
        if let count = blake2bDigestByteCount { return "blake2b-\(count * 8)" }
        if let count = blake2sDigestByteCount { return "blake2s-\(count * 8)" }
        return "0x" + String(rawValue, radix: 16)
    }

    package var description: String { name }

    /// Length of this function's digests in bytes; `nil` for identity, whose digest is the data,
    /// and for functions we do not know.
    package var digestByteCount: Int? {
        switch self {
        case .sha1: 20
        case .sha3_224, .keccak224: 28
        case .sha2_256, .sha3_256, .keccak256, .blake3, .doubleSHA2_256: 32
        case .sha3_384, .keccak384: 48
        case .sha2_512, .sha3_512, .shake256, .keccak512: 64
        default: blake2bDigestByteCount ?? blake2sDigestByteCount
        }
    }

    /// Whether `BlockHasher` can compute it.
    package var isAvailable: Bool {
        switch self {
        case .identity: true
        case .keccak224, .keccak256, .keccak384, .keccak512: false
        default: digestByteCount != nil
        }
    }

    /// Names of the available functions, for error messages and help texts.
    package static var availableNames: String {
        fixedNames.filter(\.function.isAvailable).map(\.name).joined(separator: ", ")
            + ", blake2b-160 to blake2b-512, blake2s-160 to blake2s-256"
    }

    /// Digest length if this is a BLAKE2b, else `nil`.
    var blake2bDigestByteCount: Int? {
        Self.blake2bCodes.contains(rawValue)
            ? Int(rawValue - Self.blake2bCodes.lowerBound) + 1 : nil
    }

    /// Digest length if this is a BLAKE2s, else `nil`.
    var blake2sDigestByteCount: Int? {
        Self.blake2sCodes.contains(rawValue)
            ? Int(rawValue - Self.blake2sCodes.lowerBound) + 1 : nil
    }

    private static let fixedNames: [(function: HashFunction, name: String)] = [
        (.sha2_256, "sha2-256"), (.sha2_512, "sha2-512"), (.sha1, "sha1"),
        (.sha3_224, "sha3-224"), (.sha3_256, "sha3-256"), (.sha3_384, "sha3-384"),
        (.sha3_512, "sha3-512"), (.shake256, "shake-256"), (.doubleSHA2_256, "dbl-sha2-256"),
        (.blake3, "blake3"), (.identity, "identity"), (.keccak224, "keccak-224"),
        (.keccak256, "keccak-256"), (.keccak384, "keccak-384"), (.keccak512, "keccak-512"),
    ]
}

// The names are those of the multicodec table, where the underscores stand for hyphens.
// swift-format-ignore: AlwaysUseLowerCamelCase
extension HashFunction {
    package static let identity = HashFunction(rawValue: 0x00)
    package static let sha1 = HashFunction(rawValue: 0x11)
    package static let sha2_256 = HashFunction(rawValue: 0x12)
    package static let sha2_512 = HashFunction(rawValue: 0x13)
    package static let sha3_512 = HashFunction(rawValue: 0x14)
    package static let sha3_384 = HashFunction(rawValue: 0x15)
    package static let sha3_256 = HashFunction(rawValue: 0x16)
    package static let sha3_224 = HashFunction(rawValue: 0x17)
    package static let shake256 = HashFunction(rawValue: 0x19)
    package static let keccak224 = HashFunction(rawValue: 0x1a)
    package static let keccak256 = HashFunction(rawValue: 0x1b)
    package static let keccak384 = HashFunction(rawValue: 0x1c)
    package static let keccak512 = HashFunction(rawValue: 0x1d)
    package static let blake3 = HashFunction(rawValue: 0x1e)
    package static let doubleSHA2_256 = HashFunction(rawValue: 0x56)
    package static let blake2b256 = HashFunction(rawValue: 0xb220)
    package static let blake2s256 = HashFunction(rawValue: 0xb260)
}

/// Why a hash could not be computed or checked.
package enum HashError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No hash function has this name.
    case unknownName(String)
    /// The function exists, but neither libcrypto nor this module computes it.
    case unavailable(HashFunction)
    /// More data than an identity CID may carry.
    case identityTooLong(byteCount: Int)
    /// A CID's digest is not as long as its function makes them.
    case digestLength(HashFunction, byteCount: Int)

    package var description: String {
        switch self {
        case .unknownName(let name):
            "there is no hash function “\(name)”; choose one of \(HashFunction.availableNames)"
        case .unavailable(let function):
            "hash function \(function) is not available here; "
                + "choose one of \(HashFunction.availableNames)"
        case .identityTooLong(let byteCount):
            "\(byteCount) bytes do not fit an identity CID, which carries at most "
                + "\(HashFunction.maximumIdentityByteCount); use a real hash function"
        case .digestLength(let function, let byteCount):
            "a \(function) digest of \(byteCount) bytes cannot be checked; "
                + "\(function) digests have \(function.digestByteCount ?? 0) bytes"
        }
    }
}
