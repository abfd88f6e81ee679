/// Computes digests and CIDs of blocks with one hash function.
///
/// It keeps its libcrypto context from block to block, so it belongs to one thread at a time.
package final class BlockHasher {
    private enum Engine {
        case libcrypto(LibcryptoDigest)
        case doubleSHA256(LibcryptoDigest)
        case blake2b(digestByteCount: Int)
        case blake2s(digestByteCount: Int)
        case blake3
        case identity
    }

    package let function: HashFunction
    private let engine: Engine
    /// Room for the longest digest.
    private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: CID.maximumDigestByteCount, alignment: 16)

    /// - Throws: `unavailable` for a function that neither libcrypto nor this module computes.
    package init(_ function: HashFunction) throws(HashError) {
        self.function = function
        engine = try Self.makeEngine(function)
    }

    deinit {
        scratch.deallocate()
    }

    /// The CID of one block.
    ///
    /// - Throws: `identityTooLong` with the identity function and more than 128 bytes; nothing
    ///   else.
    package func cid(
        version: CID.Version, codec: Codec, _ block: UnsafeRawBufferPointer
    ) throws(HashError) -> CID {
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        return try cid(version: version, codec: codec, block, nothing, nothing)
    }

    /// The CID of the block that is `prefix`, `payload` and `suffix` in a row.
    ///
    /// - Throws: `identityTooLong` with the identity function and more than 128 bytes; nothing
    ///   else.
    package func cid(
        version: CID.Version, codec: Codec, _ prefix: UnsafeRawBufferPointer,
        _ payload: UnsafeRawBufferPointer, _ suffix: UnsafeRawBufferPointer
    ) throws(HashError) -> CID {
        let count = try computeDigest(prefix, payload, suffix)
        return CID(
            version: version, codec: codec, hashFunction: function,
            digest: UnsafeRawBufferPointer(rebasing: scratch[..<count]))
    }

    /// The CID of one block.
    package func cid(
        version: CID.Version, codec: Codec, _ block: [UInt8]
    ) throws(HashError) -> CID {
        try block.withUnsafeBufferPointer { (bytes) throws(HashError) in
            try cid(version: version, codec: codec, UnsafeRawBufferPointer(bytes))
        }
    }

    /// The digest of `bytes`.
    ///
    /// - Throws: `identityTooLong` with the identity function and more than 128 bytes; nothing
    ///   else.
    package func digest(_ bytes: UnsafeRawBufferPointer) throws(HashError) -> [UInt8] {
        try withDigest(of: bytes) { Array($0) }
    }

    /// Hands the digest of `bytes` to `body`; the pointer must not outlive the call.
    func withDigest<R>(
        of bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> R
    ) throws(HashError) -> R {
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        let count = try computeDigest(bytes, nothing, nothing)
        return body(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
    }

    private static func makeEngine(_ function: HashFunction) throws(HashError) -> Engine {
        guard function.isAvailable else { throw .unavailable(function) }
        if function == .identity { return .identity }
        if function == .blake3 { return .blake3 }
        if let digest = LibcryptoDigest(function) {
            return function == .doubleSHA2_256 ? .doubleSHA256(digest) : .libcrypto(digest)
        }
        if let count = function.blake2bDigestByteCount { return .blake2b(digestByteCount: count) }
        if let count = function.blake2sDigestByteCount { return .blake2s(digestByteCount: count) }
        throw .unavailable(function)
    }

    /// Writes the digest into `scratch` and returns its length.
    private func computeDigest(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer,
        _ third: UnsafeRawBufferPointer
    ) throws(HashError) -> Int {
        switch engine {
        case .libcrypto(let digest):
            digest.start()
            digest.update(first)
            digest.update(second)
            digest.update(third)
            return digest.finish(into: scratch)
        case .doubleSHA256(let digest):
            digest.start()
            digest.update(first)
            digest.update(second)
            digest.update(third)
            let count = digest.finish(into: scratch)
            digest.start()
            digest.update(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
            return digest.finish(into: scratch)
        case .blake2b(let count):
            var state = Blake2b(digestByteCount: count)
            state.update(first)
            state.update(second)
            state.update(third)
            return state.finish(into: scratch)
        case .blake2s(let count):
            var state = Blake2s(digestByteCount: count)
            state.update(first)
            state.update(second)
            state.update(third)
            return state.finish(into: scratch)
        case .blake3:
            var state = Blake3()
            state.update(first)
            state.update(second)
            state.update(third)
            return state.finish(into: scratch)
        case .identity:
            let count = first.count + second.count + third.count
            guard count <= HashFunction.maximumIdentityByteCount else {
                throw .identityTooLong(byteCount: count)
            }
            var position = 0
            for part in [first, second, third] {
                UnsafeMutableRawBufferPointer(rebasing: scratch[position...]).copyMemory(from: part)
                position += part.count
            }
            return count
        }
    }
}

/// Checks blocks against the CIDs they are stored under, whatever their hash functions.
///
/// It keeps one context per hash function, so it belongs to one thread at a time.
package final class BlockVerifier {
    private var hashers: [HashFunction: BlockHasher] = [:]

    package init() {}

    /// Whether `block` has the digest that `cid` names.
    ///
    /// - Throws: `unavailable` when the hash function is not one we compute, `digestLength` when
    ///   the digest is cut short, which would make it easy to forge.
    package func verify(
        _ cid: CID, _ block: UnsafeRawBufferPointer
    ) throws(HashError) -> Bool {
        let function = cid.hashFunction
        if function == .identity { return cid.withDigest { $0.elementsEqual(block) } }
        guard let expectedCount = function.digestByteCount else { throw .unavailable(function) }
        guard cid.digestByteCount == expectedCount else {
            throw .digestLength(function, byteCount: cid.digestByteCount)
        }
        return try hasher(function).withDigest(of: block) { computed in
            cid.withDigest { $0.elementsEqual(computed) }
        }
    }

    private func hasher(_ function: HashFunction) throws(HashError) -> BlockHasher {
        if let known = hashers[function] { return known }
        let made = try BlockHasher(function)
        hashers[function] = made
        return made
    }
}
