import CLibcrypto

/// A libcrypto digest whose implementation is looked up once and whose context is reused.
final class LibcryptoDigest {
    private let implementation: OpaquePointer
    private let context: OpaquePointer
    /// Set for extendable-output functions, which have no length of their own.
    private let extendableByteCount: Int?

    /// `nil` when libcrypto does not offer the function.
    init?(_ function: HashFunction) {
        guard let name = Self.libcryptoName(function),
            let implementation = EVP_MD_fetch(nil, name, nil)
        else { return nil }
        guard let context = EVP_MD_CTX_new() else {
            EVP_MD_free(implementation)
            return nil
        }
        self.implementation = implementation
        self.context = context
        extendableByteCount = function == .shake256 ? function.digestByteCount : nil
    }

    deinit {
        EVP_MD_CTX_free(context)
        EVP_MD_free(implementation)
    }

    func start() {
        check(EVP_DigestInit_ex2(context, implementation, nil))
    }

    func update(_ bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty { return }
        check(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count))
    }

    /// Writes the digest at the start of `digest` and returns its length.
    func finish(into digest: UnsafeMutableRawBufferPointer) -> Int {
        let start = digest.baseAddress?.assumingMemoryBound(to: UInt8.self)
        if let extendableByteCount {
            check(EVP_DigestFinalXOF(context, start, extendableByteCount))
            return extendableByteCount
        }
        var count: UInt32 = 0
        check(EVP_DigestFinal_ex(context, start, &count))
        return Int(count)
    }

    private func check(_ result: Int32) {
        // With a fetched implementation these calls fail only when memory is exhausted.
        precondition(result == 1, "libcrypto could not hash")
    }

    private static func libcryptoName(_ function: HashFunction) -> String? {
        switch function {
        case .sha1: "SHA1"
        case .sha2_256, .doubleSHA2_256: "SHA2-256"
        case .sha2_512: "SHA2-512"
        case .sha3_224: "SHA3-224"
        case .sha3_256: "SHA3-256"
        case .sha3_384: "SHA3-384"
        case .sha3_512: "SHA3-512"
        case .shake256: "SHAKE-256"
        case HashFunction(rawValue: 0xb240): "BLAKE2B-512"
        case .blake2s256: "BLAKE2S-256"
        default: nil
        }
    }
}
